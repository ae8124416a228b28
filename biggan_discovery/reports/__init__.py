"""Reports: figures of judgements and comparisons, and the documents that show them."""
