"""One file for each metric: the plain function, its cost, and the `Metric` that declares it."""
