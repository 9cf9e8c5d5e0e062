"""Building guests from source: what `flowrt modules build` does."""
