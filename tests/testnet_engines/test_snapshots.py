"""Snapshots: a network goes on elsewhere as it stood, and a file that is none is refused."""

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import session_testnet
from session_testnet import LocalNetworkHandle, NetworkOptions, Topology
from session_testnet.control.errors import ControlError
from session_testnet.knobs import NodeKnobs, RateLimit
from session_testnet.snapshot_file import (
    Snapshot,
    SnapshotError,
    read_description,
    unpack_snapshot,
    write_snapshot,
)
from session_testnet.topology import NameSpec, NodeSpec, RoleSpec, RoomSpec

Open = Callable[..., LocalNetworkHandle]
Store = Callable[..., dict[str, Any]]
Held = Callable[..., list[str]]
DAY_MS = 86_400_000


def go_on(path: Path, data_dir: Path) -> LocalNetworkHandle:
    """Start the network of a snapshot in another directory."""
    snapshot = unpack_snapshot(path, data_dir)
    options = NetworkOptions(
        engine=snapshot.engine, data_dir=data_dir, clock_offset_ms=snapshot.clock_offset_ms
    )
    network = session_testnet.open_local(snapshot.topology, options)
    for fault in snapshot.faults:
        network.faults.add(fault)
    return network


@pytest.mark.parametrize("engine", ["embedded", "process"])
def test_a_network_goes_on_as_it_stood(
    open_network: Open, store: Store, held: Held, tmp_path: Path, engine: str
) -> None:
    network = open_network(data_dir=tmp_path / "before")
    # A message that would have expired by this machine's own clock when the network starts again.
    network.clock.move(-30 * DAY_MS)
    store(network, "node-01", "first")
    network.node("node-02").set_knobs(disk_full=True, clock_offset_ms=5_000)
    rule = network.faults.add({"action": "status", "status": 503, "node": "node-03", "times": 3})
    network.faults.add({"action": "partition", "groups": [["node-01"], ["node-03"]], "id": "cut"})
    network.rooms.create("garden", title="Garden")
    assert network.storage_rpc("node-03", "info", {})["status"] in (200, 503)
    used = next(each["used"] for each in network.faults.list() if each["id"] == rule)
    network.node("node-01").pause()
    network.node("node-02").pause()
    network.node("node-03").stop()
    size = network.save_snapshot(tmp_path / "saved")
    assert size == (tmp_path / "saved").stat().st_size
    keys = [node.pubkey_ed25519 for node in network.nodes]
    network.close()

    with go_on(tmp_path / "saved", tmp_path / "after") as again:
        assert [node.pubkey_ed25519 for node in again.nodes] == keys
        assert again.state["engine"] == engine
        assert abs(again.clock.offset_ms + 30 * DAY_MS) < 1000
        for name in ("node-01", "node-02", "node-03"):
            assert held(again, name) == ["first"]
            assert again.node(name).status()["status"] == "running"
        knobs = again.node("node-02").knobs()
        assert (knobs["disk_full"], knobs["clock_offset_ms"]) == (True, 5_000)
        faults = {fault["id"]: fault for fault in again.faults.list()}
        assert faults.keys() == {rule, "cut"}
        assert faults[rule]["times"] == 3 - used
        assert "garden" in {room["token"] for room in again.rooms.list()}
        again.faults.clear()
        again.node("node-02").set_knobs(disk_full=None, clock_offset_ms=None)
        store(again, "node-01", "second")
        assert held(again, "node-02") == ["first", "second"]


@pytest.mark.parametrize("engine", ["embedded", "process"])
def test_what_cannot_be_saved_says_why(open_network: Open, tmp_path: Path) -> None:
    network = open_network()
    with pytest.raises(ControlError, match="in memory"):
        network.save_snapshot(tmp_path / "saved")
    kept = open_network(data_dir=tmp_path / "data")
    kept.node("node-01").pause()
    with pytest.raises(ControlError, match="2 nodes are running, node-02"):
        kept.save_snapshot(tmp_path / "saved")
    for node in kept.nodes:
        node.stop()
    with pytest.raises(ControlError, match="cannot be written"):
        kept.save_snapshot(tmp_path / "missing" / "saved")
    with pytest.raises(ControlError, match="must be an absolute path"):
        kept.command("snapshot.save", file="saved")
    assert not [path for path in tmp_path.iterdir() if path.name != "data"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a snapshot of two small files."""
    folder = tmp_path_factory.mktemp("saved")
    (folder / "data" / "node-01").mkdir(parents=True)
    (folder / "data" / "node-01" / "a").write_bytes(bytes(range(256)) * 20)
    (folder / "data" / "b").write_text("b")
    write_snapshot(folder / "saved", Snapshot("embedded", Topology.default(1)), folder / "data")
    return folder / "saved"


def test_what_was_written_is_read(saved: Path, tmp_path: Path) -> None:
    assert read_description(saved).topology == Topology.default(1)
    (tmp_path / "data").mkdir()
    unpack_snapshot(saved, tmp_path / "data")
    assert (tmp_path / "data" / "node-01" / "a").read_bytes() == bytes(range(256)) * 20
    with pytest.raises(SnapshotError, match="not an empty directory"):
        unpack_snapshot(saved, tmp_path / "data")


@given(data=st.data())
def test_damage_is_told_and_leaves_nothing(
    data: st.DataObject, saved: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = bytearray(saved.read_bytes())
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 9)) :]
    else:
        # The first bytes hold time and system of gzip, about which nobody cares.
        content[data.draw(st.integers(10, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "bad").write_bytes(content)
    refusal = ""
    try:
        unpack_snapshot(folder / "bad", folder / "data")
    except SnapshotError as error:
        refusal = error.message
    if refusal:
        assert str(folder / "bad") in refusal
        assert [path.name for path in folder.iterdir()] == ["bad"]
    else:
        # What was struck is padding behind the last file, or a header's unused bit.
        assert (folder / "data" / "b").read_text() == "b"
        assert (folder / "data" / "node-01" / "a").read_bytes() == bytes(range(256)) * 20


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            head = tarfile.TarInfo(name)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
    return path


def described(**changes: Any) -> bytes:
    head = json.loads(msgspec.json.encode(Snapshot("embedded", Topology.default(1))))
    return json.dumps({**head, **changes}).encode()


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"readme": b"hello"}, "is not a snapshot"),
        ({"snapshot.json": b"{}"}, "is not a snapshot"),
        ({"snapshot.json": b"hello"}, "is damaged"),
        ({"snapshot.json": described(version=99)}, "is of version 99"),
        ({"snapshot.json": described(topology={"name": "x"})}, "is damaged"),
        ({"snapshot.json": described(files={"../x": ""}), "data/../x": b""}, "no place inside"),
        ({"snapshot.json": described(files={"/x": ""}), "data//x": b""}, "no place inside"),
        ({"snapshot.json": described(), "data/x": b""}, "does not speak of"),
        ({"snapshot.json": described(files={"x": "00"})}, "it lacks x"),
        ({"snapshot.json": described(files={"x": "00"}), "data/x": b""}, "x is not what it was"),
    ],
)
def test_foreign_files_are_refused(members: dict[str, bytes], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=complaint):
        unpack_snapshot(archive(tmp_path / "foreign", members), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(SnapshotError, match="is not a snapshot"):
        read_description(tmp_path / "text")
    with pytest.raises(SnapshotError, match="cannot be read: No such file"):
        read_description(tmp_path / "missing")


def test_a_description_keeps_everything_of_a_topology() -> None:
    knobs = NodeKnobs(rate_limit=RateLimit(3, 1), not_ready=("busy",), disk_full=True)
    topology = replace(
        Topology.default(3, seed="s", swarms=2),
        rooms=(RoomSpec("kitchen", messages=("soup 🦉",), default_upload=False),),
        roles=(RoleSpec("05" + "ab" * 32, "kitchen", admin=True),),
        names=(NameSpec("alice", "05" + "ab" * 32),),
        nodes=(
            NodeSpec("far", bytes(32), 2**64 - 2, knobs),
            NodeSpec("near", bytes([1]) * 32, 0),
        ),
    )
    written = msgspec.json.encode(Snapshot("process", topology))
    assert msgspec.json.decode(written, type=Snapshot).topology == topology
