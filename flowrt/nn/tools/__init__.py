"""What `flowrt model` does with model files: show, measure, compare, quantise, convert."""
