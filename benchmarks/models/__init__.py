"""The network of the pipeline that is measured."""
