"""One file for each metric: the plain function, what it costs, and the `Metric` that declares it."""
