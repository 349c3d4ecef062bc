"""A node that is killed ends where it stands; what it has acknowledged stays, and others have it too."""

import json
import socket
import ssl
import urllib.request

import session_testnet
from session_testnet import Topology


def test_a_killed_node_resets_its_connections_and_comes_back() -> None:
    with session_testnet.open_local(Topology.default(3)) as network:
        node = network.nodes[0]
        host, _, port = node.url.removeprefix("https://").partition(":")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((host, int(port)), timeout=10) as plain,
            context.wrap_socket(plain) as connection,
        ):
            # A request that is not complete keeps the connection open.
            connection.sendall(b"POST /storage_rpc/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n")
            node.kill()
            assert node.status()["status"] == "stopped"
            try:
                ended = connection.recv(1) == b""
            except OSError:
                ended = True
            assert ended
        node.start()
        assert network.storage_rpc(node.name, "info", {})["status"] == 200
        assert [event["verb"] for event in network.trace.events(kind="node")] == ["kill", "start"]


def test_the_chain_grows_when_it_is_told_to() -> None:
    with session_testnet.open_local(Topology.default(3)) as network:
        before = network.advance_chain()
        assert network.advance_chain(10) == before + 10
        url = f"{network.state['registry']['url']}/json_rpc"
        asked = urllib.request.Request(url, b'{"method": "get_height"}')  # noqa: S310 - the network's own
        with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
            assert json.load(answer)["result"]["height"] == before + 11
