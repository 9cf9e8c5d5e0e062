"""The state store that operator components share: keys and values that outlive a graph."""
