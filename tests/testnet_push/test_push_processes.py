"""The same when each node is a process of its own: requests and pushes travel over its channel."""

from typing import Any

Network = Any


def test_nodes_in_processes_tell_too(open_network: Any) -> None:
    network = open_network(3, swarms=1, engine="process")
    device = network.device()
    network.subscribe(device)
    names = [node.name for node in network.handle.nodes]
    for name in names:
        network.store(device.owner, f"at {name}".encode(), node=name)
    assert [told.body for told in network.delivered(device)] == [f"at {name}".encode() for name in names]
    # Who comes back knows nobody, and is told again.
    killed, *others = network.handle.nodes
    killed.kill()
    killed.start()
    for other in others:
        other.stop()
    network.store(device.owner, b"alone", node=killed.name)
    assert network.delivered(device)[-1].body == b"alone"
    killed.pause()
    late = network.device()
    network.subscribe(late)
    killed.resume()
    network.store(late.owner, b"thawed", node=killed.name)
    assert [told.body for told in network.delivered(late)] == [b"thawed"]
