"""The client on a real local network: sockets, TLS, onion paths, faults, clocks."""

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import pytest

from session_protocol.accounts import Account
from session_testnet import NetworkHandle, Topology, open_local
from session_testnet.client import (
    ClientError,
    FileServerInfo,
    MessagingClient,
    NetworkClient,
    ReceivedMessage,
    Timeouts,
)
from session_testnet.client.errors import NotFound, Unauthorized

T = TypeVar("T")
HOUR_MS = 3_600_000
STORIES = itertools.count()


@pytest.fixture(scope="module")
def shared_network() -> Iterator[NetworkHandle]:
    with open_local(Topology.default(nodes=14, name="client-tests")) as handle:
        yield handle


@pytest.fixture
def network(shared_network: NetworkHandle) -> Iterator[NetworkHandle]:
    """Lend the network out and take it back healthy."""
    offset_ms = shared_network.clock.offset_ms
    yield shared_network
    shared_network.faults.clear()
    shared_network.clock.move(offset_ms - shared_network.clock.offset_ms)
    for node in shared_network.nodes:
        status = node.status()["status"]
        if status == "paused":
            node.resume()
        elif status != "running":
            node.start()


@dataclass
class People:
    """Makes people on a network; their connections end with the block."""

    network: NetworkHandle
    story: str
    use_onion: bool = True
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    made: int = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.stack.aclose()

    async def join(self, *, account: Account | None = None, **options: Any) -> MessagingClient:
        self.made += 1
        # Other people in every story: the mailboxes of a network outlive a test.
        rng = random.Random(f"{self.story} {self.made}")
        account = account or Account.generate(rng.randbytes)
        files = self.network.state["files"]
        client = NetworkClient(
            account,
            self.network.state["registry"]["url"],
            use_onion=self.use_onion,
            file_server=FileServerInfo(files["url"], bytes.fromhex(files["pubkey_x25519"])),
            rng=rng,
            timeouts=options.pop("timeouts", Timeouts(request_s=5, call_s=15)),
            **options,
        )
        await self.stack.enter_async_context(client)
        return MessagingClient(account, client, rng=rng)


def on(network: NetworkHandle, story: Callable[[People], Awaitable[T]], *, use_onion: bool = True) -> T:
    async def main() -> T:
        async with People(network, f"{story.__qualname__} {use_onion} {next(STORIES)}", use_onion) as people:
            return await story(people)

    return asyncio.run(main())


def text(body: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "text", "body": body} | fields


def bodies(messages: list[ReceivedMessage]) -> list[Any]:
    return [message.content.get("body") for message in messages]


@pytest.mark.parametrize("use_onion", [True, False])
class TestMessages:
    def test_two_people_talk(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            sent = await alice.send(bob.account_id, text("שלום 👋"))
            (received,) = await bob.poll()
            assert received.content["body"] == "שלום 👋"
            assert (received.sender, received.timestamp_ms) == (alice.account_id, sent.timestamp_ms)
            assert received.hash == sent.hash
            await bob.send(alice.account_id, text("and back"))
            assert bodies(await alice.poll()) == ["and back"]
            assert await bob.poll() == []

        on(network, story, use_onion=use_onion)

    def test_the_nodes_see_the_transport(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> str:
            alice, bob = await people.join(), await people.join()
            await alice.send(bob.account_id, text("x"))
            return bob.account_id

        seen = network.trace.last_seq()
        account_id = on(network, story, use_onion=use_onion)
        stores = [
            event
            for event in network.trace.events(since=seen, kind="rpc")
            if event.get("method") == "store" and event.get("account") == account_id
        ]
        assert {event["via"] for event in stores} == {"onion" if use_onion else "direct"}

    def test_an_attachment_arrives(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            data = random.Random(1).randbytes(70_000)
            pointer = await alice.upload_attachment(data, file_name="photo.jpg", content_type="image/jpeg")
            await alice.send(bob.account_id, text("look", attachments=[pointer]))
            (received,) = await bob.poll()
            (attachment,) = received.content["attachments"]
            assert (attachment["file_name"], attachment["size"]) == ("photo.jpg", len(data))
            assert await bob.download_attachment(attachment) == data
            with pytest.raises(NotFound):
                await bob.network.download("999999999999")

        on(network, story, use_onion=use_onion)

    def test_several_devices_share_what_was_sent(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            second = await people.join(account=alice.account)
            sent = await alice.send(bob.account_id, text("from one"))
            (copy,) = await second.poll()
            assert copy.outgoing
            assert (copy.conversation, copy.timestamp_ms) == (bob.account_id, sent.timestamp_ms)
            await second.delete_message(bob.account_id, sent.timestamp_ms, everyone=True)
            await bob.poll()
            await alice.poll()
            assert bob.messages(alice.account_id) == alice.messages(bob.account_id) == []

        on(network, story, use_onion=use_onion)

    def test_namespaces_are_polled_together(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            await alice.send(bob.account_id, text("x"))
            assert bodies(await bob.poll([0, 2, 3, 5, 4])) == ["x"]

        on(network, story, use_onion=use_onion)


class TestNetwork:
    def test_the_swarm_is_the_networks_own(self, network: NetworkHandle) -> None:
        async def story(people: People) -> None:
            for _ in range(3):
                alice = await people.join()
                found = {node.ed25519_pk for node in await alice.network.swarm(alice.account_id)}
                assert found == {node.pubkey_ed25519 for node in network.swarm(alice.account_id)}

        on(network, story)

    def test_a_node_gives_its_time(self, network: NetworkHandle) -> None:
        async def story(people: People) -> None:
            alice = await people.join()
            reply = await alice.network.info()
            assert abs(reply.body["t"] - network.clock.now_ms()) < 5_000

        on(network, story)

    def test_the_registry_may_be_asked_over_tls(self, network: NetworkHandle) -> None:
        async def main() -> None:
            async with NetworkClient(None, network.state["registry"]["https_url"]) as client:
                assert len(await client.bootstrap()) == 14

        asyncio.run(main())

    def test_an_unsigned_retrieve_is_unauthorized(self, network: NetworkHandle) -> None:
        async def story(people: People) -> None:
            alice = await people.join()
            with pytest.raises(Unauthorized) as caught:
                await alice.network.account_rpc(alice.account_id, "retrieve", {"pubkey": alice.account_id})
            assert caught.value.data["status"] == 401

        on(network, story)


@pytest.mark.parametrize("use_onion", [True, False])
class TestFailures:
    def test_stopped_members_are_passed_over(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            await bob.poll()
            for node in network.swarm(bob.account_id)[:3]:
                node.stop()
            for number in range(3):
                await alice.send(bob.account_id, text(f"without them {number}"))
            assert bodies(await bob.poll()) == [f"without them {number}" for number in range(3)]

        on(network, story, use_onion=use_onion)

    def test_a_member_that_was_away_hides_nothing(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            away = network.swarm(bob.account_id)[0]
            away.stop()
            await alice.send(bob.account_id, text("x"))
            away.start()
            seen = [body for _ in range(3) for body in bodies(await bob.poll())]
            assert seen == ["x"]

        on(network, story, use_onion=use_onion)

    def test_a_paused_member_costs_one_deadline(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice = await people.join()
            bob = await people.join(timeouts=Timeouts(request_s=0.3, call_s=15))
            await alice.send(bob.account_id, text("x"))
            await bob.network.swarm(bob.account_id)
            for node in network.swarm(bob.account_id)[:2]:
                node.pause()
            assert [body for _ in range(3) for body in bodies(await bob.poll())] == ["x"]

        on(network, story, use_onion=use_onion)

    def test_a_swarm_change_is_followed(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            network.faults.add(
                {"node": "*", "action": "status", "status": 421, "methods": ["store"], "times": 1}
            )
            await alice.send(bob.account_id, text("moved"))
            network.faults.add(
                {"node": "*", "action": "status", "status": 421, "methods": ["retrieve"], "times": 1}
            )
            assert bodies(await bob.poll()) == ["moved"]

        on(network, story, use_onion=use_onion)

    def test_a_member_that_left_does_not_name_itself(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            bob = await people.join()
            members = {node.pubkey_ed25519 for node in network.swarm(bob.account_id)}
            (asked, *_) = await bob.network.swarm(bob.account_id)
            network.faults.add({"node": "*", "action": "wrong_swarm", "methods": ["store"]})
            reply = await bob.network.rpc(asked, "store", {"pubkey": bob.account_id})
            named = {node["pubkey_ed25519"] for node in reply.body["snodes"]}
            assert (reply.status, named) == (421, members - {asked.ed25519_pk})

        on(network, story, use_onion=use_onion)

    def test_a_member_that_goes_silent_is_passed_over(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            network.faults.add(
                {"action": "drop", "methods": ["store"], "account": bob.account_id, "pin": True}
            )
            for number in range(4):
                await alice.send(bob.account_id, text(str(number)))
            (rule,) = network.faults.list()
            assert rule["pinned_to"] in {node.name for node in network.swarm(bob.account_id)}
            assert bodies(await bob.poll()) == ["0", "1", "2", "3"]

        on(network, story, use_onion=use_onion)

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_failing_members_are_passed_over(
        self, network: NetworkHandle, use_onion: bool, status: int
    ) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            network.faults.add({"node": "*", "action": "status", "status": status, "times": 2})
            await alice.send(bob.account_id, text("x"))
            assert bodies(await bob.poll()) == ["x"]

        on(network, story, use_onion=use_onion)

    @pytest.mark.parametrize("action", ["duplicate", "reorder"])
    def test_odd_listings_change_nothing(self, network: NetworkHandle, use_onion: bool, action: str) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            network.faults.add({"node": "*", "action": action})
            for number in range(4):
                await alice.send(bob.account_id, text(str(number)))
            assert bodies(await bob.poll()) == ["0", "1", "2", "3"]
            assert await bob.poll() == []

        on(network, story, use_onion=use_onion)

    def test_a_network_time_far_from_ours_is_found(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            await bob.poll()
            network.clock.move(5 * HOUR_MS)
            sent = await alice.send(bob.account_id, text("later"))
            assert abs(sent.timestamp_ms - network.clock.now_ms()) < 10_000
            assert bodies(await bob.poll()) == ["later"]
            assert abs(bob.network.time.offset_ms - network.clock.offset_ms) < 10_000

        on(network, story, use_onion=use_onion)

    def test_one_nodes_wrong_clock_is_its_own(self, network: NetworkHandle, use_onion: bool) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            wrong = network.swarm(bob.account_id)[0].name
            network.faults.add({"node": wrong, "action": "clock_skew", "offset_ms": -HOUR_MS})
            for number in range(4):
                await alice.send(bob.account_id, text(str(number)))
            assert bodies(await bob.poll()) == ["0", "1", "2", "3"]
            for client in (alice, bob):
                assert abs(client.network.time.offset_ms) < 10_000

        on(network, story, use_onion=use_onion)


class TestPathFailures:
    def test_a_dead_guard_is_replaced(self, network: NetworkHandle) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            await alice.send(bob.account_id, text("before"))
            guards = {path.guard.ed25519_pk for path in alice.network.paths.paths}
            for node in network.nodes:
                if node.pubkey_ed25519 in guards:
                    node.stop()
            for number in range(4):
                await alice.send(bob.account_id, text(f"after {number}"))
            assert not guards & {node.ed25519_pk for node in alice.network.nodes}

        on(network, story)

    def test_dead_relays_are_found_out(self, network: NetworkHandle) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            await alice.send(bob.account_id, text("before"))
            relays = {path.nodes[1].ed25519_pk for path in alice.network.paths.paths}
            for node in network.nodes:
                if node.pubkey_ed25519 in relays:
                    node.stop()
            for number in range(6):
                await alice.send(bob.account_id, text(f"after {number}"))

        on(network, story)

    def test_a_network_that_is_gone_is_an_error_in_time(self) -> None:
        async def story(people: People) -> None:
            alice, bob = await people.join(), await people.join()
            await alice.send(bob.account_id, text("before"))
            for node in people.network.nodes:
                node.stop()
            with pytest.raises(ClientError) as caught:
                await alice.send(bob.account_id, text("after"))
            assert caught.value.code == "network_error"

        with open_local(Topology.default(nodes=5, name="client-tests-gone")) as small:
            on(small, story)
