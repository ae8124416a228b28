"""What a search minimises: one file per objective, the portable function and its `Objective` together."""
