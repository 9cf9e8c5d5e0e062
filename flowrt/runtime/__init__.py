"""Graphs at work: stages, recovery, back-pressure, the order of start and stop."""
