"""What goes wrong outside of the mathematics: each section is a file, and prints counts."""
