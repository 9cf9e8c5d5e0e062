"""Inference engines behind one protocol, one a file; each imports its library alone."""
