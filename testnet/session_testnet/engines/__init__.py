"""Engines run the parts of a network: here all in one process; each declares what it can do."""
