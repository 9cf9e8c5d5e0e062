"""Models: what they are, who holds them, and the doors by which guests reach them."""
