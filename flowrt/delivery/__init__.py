"""Until a message is handled: who answers for it, and where it is kept when it cannot be."""
