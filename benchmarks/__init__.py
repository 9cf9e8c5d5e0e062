"""Measurements of flowrt beside other ways to do the same job, on this machine, in alternating runs."""
