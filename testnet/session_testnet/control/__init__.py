"""Act on a network: one set of commands, in the same process or over HTTP with a token."""
