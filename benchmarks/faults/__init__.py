"""Campaigns of broken inputs and failing machines, a section for each kind: `python -m benchmarks.faults`."""
