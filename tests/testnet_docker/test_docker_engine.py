"""What only the engine docker can do, and what it must not leave behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import session_testnet
from session_testnet import LocalNetworkHandle, NetworkOptions, Topology
from session_testnet.client import FileServerInfo, NetworkClient
from session_testnet.control.errors import ControlError
from session_testnet.docker_daemon import connect
from session_testnet.docker_labels import NETWORK, NODE, OWNER, ROLE, RUN, TTL
from session_testnet.engines.base import EngineError
from session_testnet.network_options import ContainerOptions

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("container_image")]

MEMORY = 256 * 1024 * 1024


def start(nodes: int = 3, name: str = "docked", **options: Any) -> LocalNetworkHandle:
    containers = ContainerOptions(**options)
    return session_testnet.open_local(
        Topology.default(nodes, name=name, seed="docker"),
        NetworkOptions(engine="docker", containers=containers),
    )


@pytest.fixture(scope="module")
def network() -> Iterator[LocalNetworkHandle]:
    with start(4, memory_bytes=MEMORY, cpus=0.5, ttl_s=900) as network:
        yield network


@pytest.fixture(scope="module")
def docker() -> Iterator[Any]:
    client = connect()
    yield client
    client.close()


def things(client: Any, name: str) -> list[Any]:
    """Return the containers, networks and volumes of the network of a name."""
    mine = {"label": f"{NETWORK}={name}"}
    return [
        *client.containers.list(all=True, filters=mine, ignore_removed=True),
        *client.networks.list(filters=mine),
        *client.volumes.list(filters=mine),
    ]


def test_everything_is_labelled(network: LocalNetworkHandle, docker: Any) -> None:
    found = things(docker, "docked")
    assert len(found) == 4 + 1 + 4
    for thing in found:
        labels = thing.labels if hasattr(thing, "labels") else thing.attrs["Labels"]
        assert labels[OWNER].partition("/")[2].startswith(f"{os.getpid()}@")
        assert labels[TTL] == "900"
        assert labels[ROLE] in {"node", "network", "data"}
        assert labels[RUN]
    nodes = {thing.labels[NODE] for thing in found if getattr(thing, "labels", {}).get(ROLE) == "node"}
    assert nodes == {node.name for node in network.nodes}


def test_containers_have_limits_no_rights_and_ports_on_the_loopback_only(
    network: LocalNetworkHandle, docker: Any
) -> None:
    for container in docker.containers.list(filters={"label": f"{NETWORK}=docked"}):
        settings = container.attrs["HostConfig"]
        assert settings["Memory"] == MEMORY
        assert settings["NanoCpus"] == 500_000_000
        assert settings["CapDrop"] == ["ALL"]
        assert container.attrs["Config"]["User"] not in {"", "0", "root"}
        addresses = [port["HostIp"] for ports in container.ports.values() if ports for port in ports]
        assert addresses
        assert all(address.startswith("127.") for address in addresses)


def test_containers_reach_each_other_by_name_and_run_commands(network: LocalNetworkHandle) -> None:
    node = network.node("node-01")
    look_up = "import socket; print(socket.gethostbyname('node-02') != socket.gethostbyname('node-01'))"
    assert node.exec("python", "-c", look_up) == (0, "True\n")
    assert node.exec("sh", "-c", "echo to stderr >&2; exit 3") == (3, "to stderr\n")
    code, output = node.exec("no-such-program")
    assert code != 0
    assert "no-such-program" in output
    with pytest.raises(ControlError, match="did not end within"):
        node.exec("sleep", "3", deadline_s=0.1)


def test_onion_requests_leave_the_containers_for_the_servers_of_this_process(
    network: LocalNetworkHandle,
) -> None:
    files = FileServerInfo(
        url=network.state["files"]["url"],
        x25519_pk=bytes.fromhex(network.state["files"]["pubkey_x25519"]),
    )

    async def round_trip() -> bytes:
        async with NetworkClient(None, [network.state["registry"]["url"]], file_server=files) as client:
            return await client.download((await client.upload(b"through three containers")).url)

    assert asyncio.run(round_trip()) == b"through three containers"


def test_a_stopped_node_runs_no_commands(network: LocalNetworkHandle) -> None:
    node = network.node("node-04")
    node.stop()
    with pytest.raises(ControlError, match="it is stopped"):
        node.exec("true")
    node.start()
    assert node.exec("true") == (0, "")


def test_a_node_can_be_run_in_another_image(
    network: LocalNetworkHandle, docker: Any, container_image: str
) -> None:
    node = network.node("node-03")
    docker.images.get(container_image).tag("session-harness-test", "other")
    try:
        node.restart(image="session-harness-test:other")
        (container,) = docker.containers.list(filters={"label": [f"{NETWORK}=docked", f"{NODE}=node-03"]})
        assert container.attrs["Config"]["Image"] == "session-harness-test:other"
        with pytest.raises(ControlError, match="there is no image no/such:image"):
            node.restart(image="no/such:image")
        assert node.status()["status"] == "running"
        node.restart(image=container_image)
    finally:
        docker.images.remove("session-harness-test:other")


def test_a_missing_image_is_a_clear_error_and_leaves_nothing(docker: Any) -> None:
    with pytest.raises(EngineError, match="there is no image no/such:image") as caught:
        start(name="imageless", image="no/such:image")
    assert "session-harness image build" in caught.value.hint
    assert things(docker, "imageless") == []


def test_an_image_that_runs_no_node_is_a_clear_error_with_its_log(
    docker: Any, container_image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(
        f'FROM {container_image}\nENTRYPOINT ["sh", "-c", "echo no node here"]\n'
    )
    docker.images.build(path=str(tmp_path), tag="session-harness-test:empty", rm=True)
    try:
        with pytest.raises(EngineError, match="cannot start node-0"):
            start(1, name="nodeless", image="session-harness-test:empty")
        assert things(docker, "nodeless") == []
    finally:
        docker.images.remove("session-harness-test:empty", force=True)


def test_after_kill_9_cleanup_leaves_nothing(docker: Any, tmp_path: Path) -> None:
    environment = {**os.environ, "SESSION_HARNESS_STATE_DIR": str(tmp_path)}

    def harness(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "session_harness", *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=180, check=True
        )

    started = harness("up", "--engine", "docker", "--nodes", "3", "--name", "killed", "--detach", "--json")
    state = json.loads(started.stdout)
    os.kill(state["pid"], signal.SIGKILL)
    # Nodes notice by themselves that their network has gone, and their containers go with them.
    with docker_events(docker) as gone:
        gone(lambda: not [each for each in things(docker, "killed") if NODE in getattr(each, "labels", {})])
    would = json.loads(harness("cleanup", "--dry-run", "--json").stdout)
    assert {each["kind"] for each in would["found"]} >= {"network", "volume", "state file"}
    assert things(docker, "killed")
    assert json.loads(harness("cleanup", "--json", "--older-than", "1d").stdout)["found"] == []
    cleaned = json.loads(harness("cleanup", "--json").stdout)
    assert cleaned["failed"] == []
    assert things(docker, "killed") == []
    assert list(tmp_path.iterdir()) == []
    assert json.loads(harness("cleanup", "--json").stdout)["found"] == []


class docker_events:  # noqa: N801 - it reads as a verb
    """Look again whenever something happens at the engine, until a condition holds."""

    def __init__(self, client: Any) -> None:
        self._events = client.events(decode=True, filters={"type": "container"})

    def __enter__(self) -> Callable[[Callable[[], bool]], None]:
        return self._until

    def _until(self, condition: Callable[[], bool]) -> None:
        if condition():
            return
        for _ in self._events:
            if condition():
                return

    def __exit__(self, *_: object) -> None:
        self._events.close()
