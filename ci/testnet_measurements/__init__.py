"""Measure a local testnet and its servers: requests per second, latency, time to ready, memory per node."""
