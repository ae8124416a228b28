"""What the papers claim of their regularizers, measured on scenes with known factors."""
