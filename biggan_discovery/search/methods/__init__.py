"""Methods that compute directions without a search: one file each, and a line in `search.table`."""
