"""The example to watch: a simulated pump, its model, and the comparison with an offline computation."""
