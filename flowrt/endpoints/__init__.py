"""Where messages enter and leave."""
