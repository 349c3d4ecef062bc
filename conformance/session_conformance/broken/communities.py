"""Broken communities: our own, with one fault each."""
