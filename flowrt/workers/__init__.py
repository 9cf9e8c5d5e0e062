"""`flowrt run --workers N`: one process reads, several work, topics divided among them by hash (decision 040)."""
