"""Ways in which a guest reaches a model, one a file."""
