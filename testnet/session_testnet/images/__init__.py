"""Build the container image that nodes and whole networks run in."""
