"""Terms of the generator's loss in training: a file for each; `table` lists them."""
