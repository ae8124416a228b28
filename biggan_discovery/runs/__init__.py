"""Machinery of long runs: folder and lock, state and resume, interrupts, several processes."""
