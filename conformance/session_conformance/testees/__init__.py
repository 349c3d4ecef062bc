"""Testees: what the judge can speak to, and what a newcomer copies to build one."""
