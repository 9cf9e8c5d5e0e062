"""Logical time as plain functions of numbers: clocks, marks, frontiers and groups. No thread, no disk, no clock of its own."""
