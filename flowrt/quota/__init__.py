"""What a node may use: how it is written, and how it is charged."""
