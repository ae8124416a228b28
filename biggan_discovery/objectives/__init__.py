"""Objectives of a search: one file each, with the portable function and its `Objective`."""
