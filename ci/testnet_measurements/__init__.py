"""Measure a local testnet: requests per second, latency, time to ready, memory per node."""
