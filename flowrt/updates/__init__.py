"""Running graphs exchanged for better ones, and back: checks, trials, verdicts, what survives a power cut."""
