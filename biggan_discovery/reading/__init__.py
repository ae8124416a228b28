"""Reading files from strangers: found by content, judged by size before anything is expanded, and never executed."""
