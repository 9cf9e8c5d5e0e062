"""AIO's Kubernetes resources as graphs that run here: pure, from a folder's texts to the trees of graph files."""
