"""The suites for servers: service nodes, file servers and communities, judged as black boxes."""
