"""The parts of a Session network: registry, storage nodes, community server, file server, gateway."""
