"""The explorer: a local web page to look at directions, move along them and name them.

`serve` runs the server, `app` answers requests, and one thread, `compute`, draws for all tabs. The page is in `static`.
"""
