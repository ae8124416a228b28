"""What others need to use a directions file: a card beside it, and a place on the Hugging Face Hub."""
