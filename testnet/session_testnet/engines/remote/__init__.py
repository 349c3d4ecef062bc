"""Nodes outside this process: the part that runs there, and the part here that controls it."""
