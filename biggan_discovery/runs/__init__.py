"""Infrastructure of long runs: folder and lock, checkpoints, interrupts, multiple processes."""
