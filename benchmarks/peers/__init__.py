"""The systems flowrt is measured beside."""
