"""The kit for Python: one file to copy beside the adapter of any Session client written in Python."""
