"""Logical time in plain numbers: clocks, marks, frontiers, groups. No thread and no disk."""
