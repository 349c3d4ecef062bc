"""What a network consists of: profiles, derived keys, swarms, and topology files with their errors."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_protocol.service_nodes import NodeIdentity
from session_protocol.swarms import UNASSIGNED
from session_testnet.topology import (
    MAX_NODES,
    PROFILES,
    NodeSpec,
    RoleSpec,
    RoomSpec,
    Topology,
    TopologyError,
    default_nodes,
    derive_seed,
    load_topology,
    parse_topology,
)
from session_testnet.topology_file_server import DEFAULT_RELEASES, FilesSpec, Release

EXPECTED_SEED = "3af49f74e898df3e451a53f0f636c55c1b08677168290324756ac55af7bd7847"
EXPECTED_KEY = "3ef502cd273e7ee005468ddc348ab380b71ecd943eb8268263262a8a78b47d6d"


class TestDefaults:
    @pytest.mark.parametrize(("profile", "nodes"), [("default", 14), ("libraries", 3), ("apps", 24)])
    def test_profiles_have_the_sizes_that_their_clients_need(self, profile: str, nodes: int) -> None:
        assert len(Topology.default(profile=profile).nodes) == nodes

    def test_apps_find_rooms_with_messages(self) -> None:
        rooms = Topology.default(profile="apps").rooms
        assert len(rooms) >= 2
        assert all(room.messages for room in rooms)

    def test_libraries_may_ask_without_blinding(self) -> None:
        assert not Topology.default(profile="libraries").require_blinding
        assert Topology.default().require_blinding

    def test_the_release_that_is_imitated(self) -> None:
        topology = Topology.default()
        assert (topology.hardfork, topology.storage_version) == ((21, 2), (2, 11, 3))

    @pytest.mark.parametrize("count", [1, 2, 100, MAX_NODES])
    def test_any_size_within_the_bounds(self, count: int) -> None:
        topology = Topology.default(count)
        assert [node.name for node in topology.nodes][:2] == ["node-01", "node-02"][:count]
        assert len({node.seed for node in topology.nodes}) == count

    @pytest.mark.parametrize("count", [0, -1, MAX_NODES + 1])
    def test_other_sizes_are_refused(self, count: int) -> None:
        with pytest.raises(TopologyError, match="1 to 2000"):
            Topology.default(count)

    def test_an_unknown_profile_is_refused_with_the_known_ones(self) -> None:
        with pytest.raises(TopologyError, match="default, libraries, apps"):
            Topology.default(profile="app")

    def test_secrets_do_not_show(self) -> None:
        node = Topology.default().nodes[0]
        assert node.seed.hex() not in repr(node)


class TestKeys:
    def test_keys_never_drift(self) -> None:
        # Computed once; a change here changes the keys of everybody's networks.
        assert derive_seed("0", "node", "node-01").hex() == EXPECTED_SEED
        assert NodeIdentity.from_seed(Topology.default().nodes[0].seed).ed25519_pk.hex() == EXPECTED_KEY

    def test_keys_depend_on_seed_role_and_name_only(self) -> None:
        first = Topology.default(3, name="one", seed="7")
        second = Topology.default(24, name="two", seed="7", profile="apps")
        assert [node.seed for node in first.nodes] == [node.seed for node in second.nodes[:3]]
        assert first.service_seed("files") == second.service_seed("files")
        other = Topology.default(3, seed="8")
        assert {node.seed for node in first.nodes}.isdisjoint(node.seed for node in other.nodes)

    @given(
        st.lists(
            st.tuples(st.text(), st.sampled_from(["node", "service"]), st.text()), unique=True, max_size=5
        )
    )
    def test_different_parts_have_different_secrets(self, parts: list[tuple[str, str, str]]) -> None:
        secrets = {derive_seed(*part) for part in parts}
        assert len(secrets) == len(parts)
        assert all(len(secret) == 32 for secret in secrets)

    def test_blocks_have_hashes_that_never_drift(self) -> None:
        topology = Topology.default()
        assert topology.block_hash(1000) == Topology.default(name="other").block_hash(1000)
        assert topology.block_hash(1000) != topology.block_hash(1001)
        assert len(bytes.fromhex(topology.block_hash(1))) == 32


class TestSwarms:
    def test_fourteen_nodes_form_the_two_swarms_of_the_real_rule(self) -> None:
        swarms = list(Topology.default().swarm_ids().values())
        assert set(swarms) == {0, 2**63 - 1}
        assert swarms.count(0) == 7

    @pytest.mark.parametrize(
        ("nodes", "swarms"), [(1, 1), (13, 1), (14, 2), (20, 2), (21, 3), (24, 3), (100, 14)]
    )
    def test_the_number_of_swarms_follows_the_rule(self, nodes: int, swarms: int) -> None:
        assigned = Topology.default(nodes).swarm_ids()
        assert len(assigned) == nodes
        assert len(set(assigned.values())) == swarms

    def test_given_swarms_are_used_as_they_are(self) -> None:
        nodes = tuple(NodeSpec(f"n{i}", bytes([i]) * 32, swarm_id=i // 2) for i in range(4))
        topology = Topology("x", "0", nodes)
        assert topology.explicit_swarms
        assert topology.swarm_ids() == {"n0": 0, "n1": 0, "n2": 1, "n3": 1}

    @given(st.integers(1, 40), st.integers(1, 40))
    def test_nodes_spread_evenly_over_a_number_of_swarms(self, count: int, swarms: int) -> None:
        if swarms > count:
            with pytest.raises(TopologyError, match="cannot form"):
                default_nodes(count, "0", swarms)
            return
        ids = [node.swarm_id for node in default_nodes(count, "0", swarms)]
        sizes = [ids.count(each) for each in set(ids)]
        assert len(sizes) == swarms
        assert max(sizes) - min(sizes) <= 1
        assert all(each is not None and 0 <= each < UNASSIGNED for each in ids)

    def test_half_given_swarms_are_refused(self) -> None:
        nodes = (NodeSpec("a", b"1" * 32, 0), NodeSpec("b", b"2" * 32))
        with pytest.raises(TopologyError, match="1 of 2 nodes have a swarm id, b has none"):
            Topology("x", "0", nodes)


class TestChecks:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": "My Network"}, "no name for a network"),
            ({"nodes": ()}, "cannot have 0 nodes"),
            ({"rooms": (RoomSpec("a"), RoomSpec("a"))}, "two rooms named a"),
            ({"nodes": (NodeSpec("a", b"1" * 32), NodeSpec("a", b"2" * 32))}, "two nodes named a"),
            ({"nodes": (NodeSpec("a", b"1" * 32), NodeSpec("b", b"1" * 32))}, "same seed"),
            ({"height": 0}, "below 1"),
            ({"hardfork": (21, 256)}, "0 to 255"),
        ],
    )
    def test_impossible_networks_are_refused(self, change: dict[str, Any], message: str) -> None:
        with pytest.raises(TopologyError, match=message):
            dataclasses.replace(Topology.default(), **change)

    def test_impossible_parts_are_refused(self) -> None:
        with pytest.raises(TopologyError, match="32 bytes"):
            NodeSpec("a", b"short")
        with pytest.raises(TopologyError, match="64-bit"):
            NodeSpec("a", b"1" * 32, 2**64)
        with pytest.raises(TopologyError, match="room token"):
            RoomSpec("two words")
        with pytest.raises(TopologyError, match="no file id mode"):
            FilesSpec(id_mode="uuid")  # type: ignore[arg-type]
        with pytest.raises(TopologyError, match="one each for some of"):
            FilesSpec(releases=(*DEFAULT_RELEASES, *DEFAULT_RELEASES))


FULL = """
name = "lab"
seed = "abc"
height = 5
hardfork = [19, 6]
storage_version = [2, 8, 0]
require_blinding = false

[files]
id_mode = "hash"
max_size = 5000
default_ttl_s = 60
max_ttl_s = 0

[[files.release]]
platform = "ios"
version = "2.0.0"
updated = 1760000000
notes = "New"
prerelease = { version = "2.1.0", updated = 1760000001 }

[[files.release.asset]]
name = "app"
url = "https://example.org/app"

[[node]]
name = "alpha"
swarm_id = "7fffffffffffffff"
seed = "1111111111111111111111111111111111111111111111111111111111111111"

[[node]]
name = "beta"
swarm_id = 0

[[room]]
token = "main"
name = "Main room"
description = "All of it"
messages = ["one", "two"]
default_write = false
default_upload = false

[[role]]
id = "051111111111111111111111111111111111111111111111111111111111111111"
room = "MAIN"
visible = false

[[role]]
id = "151111111111111111111111111111111111111111111111111111111111111111"
admin = true
"""


class TestFiles:
    def write(self, directory: Path, text: str) -> Path:
        path = directory / "topology.toml"
        path.write_text(text, encoding="utf-8")
        return path

    def test_a_full_file(self, tmp_path: Path) -> None:
        topology = load_topology(self.write(tmp_path, FULL))
        assert topology == Topology(
            name="lab",
            seed="abc",
            nodes=(
                NodeSpec("alpha", b"\x11" * 32, 2**63 - 1),
                NodeSpec("beta", derive_seed("abc", "node", "beta"), 0),
            ),
            rooms=(
                RoomSpec(
                    *("main", "Main room", "All of it", ("one", "two")),
                    default_write=False,
                    default_upload=False,
                ),
            ),
            roles=(
                RoleSpec("05" + "11" * 32, "MAIN", visible=False),
                RoleSpec("15" + "11" * 32, admin=True),
            ),
            hardfork=(19, 6),
            storage_version=(2, 8, 0),
            height=5,
            files=FilesSpec(
                id_mode="hash",
                max_size=5000,
                default_ttl_s=60,
                max_ttl_s=0,
                releases=(
                    *DEFAULT_RELEASES[:2],
                    (
                        "ios",
                        Release(
                            "2.0.0",
                            1_760_000_000.0,
                            notes="New",
                            assets=(("app", "https://example.org/app"),),
                            prerelease=Release("2.1.0", 1_760_000_001.0),
                        ),
                    ),
                ),
            ),
            require_blinding=False,
        )

    def test_an_empty_file_is_the_default_network(self, tmp_path: Path) -> None:
        assert load_topology(self.write(tmp_path, "")) == Topology.default()

    @pytest.mark.parametrize("profile", list(PROFILES))
    def test_a_profile_fills_in_what_is_left_out(self, tmp_path: Path, profile: str) -> None:
        path = self.write(tmp_path, f'profile = "{profile}"\nnodes = 5\nseed = "s"')
        assert load_topology(path) == Topology.default(5, seed="s", profile=profile)

    @pytest.mark.parametrize(
        ("text", "key", "message"),
        [
            ("sed = '1'", "sed", "did you mean 'seed'?"),
            ("colour = 1", "colour", "allowed keys: name, seed"),
            ("seed = 1", "seed", "takes a text in quotes"),
            ("nodes = 0", "nodes", "1 to 2000"),
            ("nodes = '14'", "nodes", "takes a whole number"),
            ("nodes = true", "nodes", "takes a whole number"),
            ("nodes = 3\nswarms = 4", "swarms", "cannot form 4 swarms"),
            ("profile = 'x'", None, "profiles: default"),
            ("hardfork = [21]", "hardfork", "a list of 2 whole numbers"),
            ("storage_version = [2, 11, true]", "storage_version", "a list of 3 whole numbers"),
            ("files = 1", "files", "a table, headed [files]"),
            ("[files]\nid_mode = 'uuid'", "files.id_mode", '"numeric" or "hash"'),
            ("[files]\nmax_size = 0", "files", "max_size goes from 1"),
            ("[files]\nmax_size = '1 MB'", "files.max_size", "a whole number"),
            ("[files]\nmax_size = 99999999999", "files", "max_size goes from 1"),
            ("[files]\ndefault_ttl_s = 0", "files", "default_ttl_s goes from 1"),
            ("[files]\nmax_ttl_s = -1", "files", "max_ttl_s goes from 1"),
            ("[files]\nmax_tll_s = 1", "files.max_tll_s", "did you mean 'max_ttl_s'?"),
            ("[[files.release]]\nversion = '1'", "files.release[0].platform", '"desktop" or "android"'),
            ("[[files.release]]\nplatform = 'ios'", "files.release[0]", "has no version"),
            (
                "[[files.release]]\nplatform = 'ios'\nversion = '1'\nupdated = -1",
                "files.release[0]",
                "Unix seconds",
            ),
            (
                "[[files.release]]\nplatform = 'ios'\nversion = '1'\nprerelease = { updated = 1 }",
                "files.release[0].prerelease",
                "has no version",
            ),
            ("require_blinding = 1", "require_blinding", "true or false"),
            ("node = 3", "node", "[[node]]"),
            ("nodes = 2\n[[node]]\nname = 'a'", "nodes", "cannot be combined"),
            ("[[node]]\nseed = 'x'", "node[0].name", "no name for a node"),
            ("[[node]]\nname = 'files'", "node[0]", "a node cannot be named files"),
            ("[[node]]\nname = 'a'\n[[node]]\nname = 'b'\nseed = 'x'", "node[1].seed", "64 hex digits"),
            ("[[node]]\nname = 'a'\nswarm = 1", "node[0].swarm", "did you mean 'swarm_id'?"),
            ("[[node]]\nname = 'a'\nswarm_id = -1", "node[0].swarm_id", "16 hex digits"),
            ("[[node]]\nname = 'a'\nswarm_id = 'xyz'", "node[0].swarm_id", "16 hex digits"),
            ("[[room]]\ntoken = 'a b'", "room[0].token", "room token"),
            ("[[room]]\ntoken = 'a'\nmessages = 'x'", "room[0].messages", "a list of texts"),
            ("[[room]]\ntoken = 'a'\n[[room]]\ntoken = 'a'", None, "two rooms named a"),
            ("[[room]]\ntoken = 'a'\n[[room]]\ntoken = 'A'", None, "two rooms named a"),
            ("[[room]]\ntoken = 'a'\ndefault_read = 1", "room[0].default_read", "true or false"),
            ("[[room]]\ntoken = 'a'\ndefault_writes = true", "room[0].default_writes", "default_write"),
            ("[[role]]\nadmin = true", "role[0].id", "cannot moderate"),
            (f"[[role]]\nid = '03{'11' * 32}'", "role[0].id", "66 hex digits"),
            (f"[[role]]\nid = '05{'11' * 32}'\nadmin = 1", "role[0].admin", "true or false"),
            (f"[[role]]\nid = '05{'11' * 32}'\nvisible = 'no'", "role[0].visible", "true or false"),
            (f"[[role]]\nid = '05{'11' * 32}'\nroom = 'attic'", None, "the rooms are: lobby"),
            (f"[[role]]\nid = '05{'11' * 32}'\n" * 2, None, "two roles named 05"),
        ],
    )
    def test_errors_name_file_key_and_remedy(
        self, tmp_path: Path, text: str, key: str | None, message: str
    ) -> None:
        path = self.write(tmp_path, text)
        with pytest.raises(TopologyError) as caught:
            load_topology(path)
        assert str(path) in str(caught.value)
        assert message in str(caught.value)
        assert caught.value.file == path
        if key is not None:
            assert caught.value.key == key

    def test_a_bad_seed_is_not_repeated(self, tmp_path: Path) -> None:
        with pytest.raises(TopologyError) as caught:
            load_topology(self.write(tmp_path, "[[node]]\nname = 'a'\nseed = 'deadbeef'"))
        assert "deadbeef" not in str(caught.value)

    def test_a_missing_file_and_broken_toml(self, tmp_path: Path) -> None:
        with pytest.raises(TopologyError, match="cannot be read"):
            load_topology(tmp_path / "none.toml")
        with pytest.raises(TopologyError, match=r"not valid TOML.*line 1"):
            load_topology(self.write(tmp_path, "seed = 1 2\nname = 3"))
        binary = tmp_path / "binary.toml"
        binary.write_bytes(b"name = '\xff'")
        with pytest.raises(TopologyError, match="UTF-8"):
            load_topology(binary)

    @given(
        st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "seed",
                    "profile",
                    "nodes",
                    "swarms",
                    "node",
                    "room",
                    "role",
                    "height",
                    "hardfork",
                    "files",
                    "x",
                ]
            ),
            st.recursive(
                st.booleans() | st.integers(-2, 2**63) | st.text(max_size=5) | st.floats(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(
                        st.sampled_from(
                            [
                                *("name", "token", "seed", "swarm_id", "messages", "id", "admin"),
                                *("default_read", "max_size", "release"),
                            ]
                        ),
                        inner,
                        max_size=3,
                    )
                ),
                max_leaves=6,
            ),
        )
    )
    def test_any_content_is_a_topology_or_a_clear_error(self, data: dict[str, Any]) -> None:
        try:
            topology = parse_topology(data)
        except TopologyError:
            return
        assert set(topology.swarm_ids()) == {node.name for node in topology.nodes}
