"""Closed-form methods: one file each, and one line in `search.table`."""
