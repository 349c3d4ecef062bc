"""Faults in finding swarms, and in coping with their members."""

import time
from typing import Any

from session_conformance.broken.fault import broken
from session_conformance.testees.kit_python.session_testee_kit import Params, Rejected
from session_conformance.testees.reference.testee import ReferenceTestee
from session_testnet.client.errors import ClientError, NetworkError, WrongSwarm

# Longer than any deadline of the judge on a local network.
HANG_S = 3_600.0

SENDS_PAST_A_DEAD_MEMBER = "swarms.sends_past_a_dead_member"
FOLLOWS_WHEN_SENDING = "swarms.follows_a_swarm_change_when_sending"
PASSES_OVER_A_FAILING_MEMBER = "swarms.passes_over_a_failing_member"


@broken("first-nodes-for-a-swarm", "swarms")
class FirstNodesForASwarm(ReferenceTestee):
    """Take any nodes of the list for the swarm of an account."""

    def client_swarm(self, params: Params) -> dict[str, Any]:
        nodes = self.resident(params).network.nodes[:5]
        return {"nodes": [{"pubkey_ed25519": node.ed25519_pk} for node in nodes]}


@broken("stored-in-own-swarm", "swarms")
class StoredInOwnSwarm(ReferenceTestee):
    """Send messages to the own mailbox instead of the recipient's."""

    def client_send(self, params: Params) -> dict[str, Any]:
        return super().client_send(params.changed(to=self.resident(params).account.account_id))


class PicksOneMember(ReferenceTestee):
    """Hand a request to one member only, and report what it says as final."""

    gives_up_on: tuple[type[ClientError], ...] = ()

    def client_create(self, params: Params) -> dict[str, Any]:
        created = super().client_create(params)
        network = self.resident(params).network
        react = network._react

        async def give_up(account_id: str, node: Any, failure: ClientError) -> None:
            if isinstance(failure, self.gives_up_on):
                raise failure
            await react(account_id, node, failure)

        network._react = give_up  # type: ignore[method-assign]
        return created


@broken("ignores-421", "swarms", checks=(FOLLOWS_WHEN_SENDING,))
class Ignores421(PicksOneMember):
    """Give up when a node says that the account moved to another swarm."""

    gives_up_on = (WrongSwarm,)


@broken("gives-up-on-failures", "swarms", checks=(SENDS_PAST_A_DEAD_MEMBER, PASSES_OVER_A_FAILING_MEMBER))
class GivesUpOnFailures(PicksOneMember):
    """Give up when the first member of a swarm fails or is gone."""

    gives_up_on = (NetworkError,)


@broken("hangs-on-421", "swarms", kind="child", checks=(FOLLOWS_WHEN_SENDING,))
class HangsOn421(PicksOneMember):
    """Wait for ever after a node said that the account moved to another swarm."""

    gives_up_on = (WrongSwarm,)

    def client_send(self, params: Params) -> dict[str, Any]:
        try:
            return super().client_send(params)
        except Rejected:
            time.sleep(HANG_S)
            raise


class AsksAgain(ReferenceTestee):
    """Ask a member that fails a second and a third time before another one."""

    asks_again_after: tuple[int, ...] = ()

    def client_create(self, params: Params) -> dict[str, Any]:
        created = super().client_create(params)
        network = self.resident(params).network
        ask = network._timed_rpc

        async def ask_again(*request: Any) -> Any:
            reply = await ask(*request)
            for _ in range(2):
                if reply.status in self.asks_again_after:
                    reply = await ask(*request)
            return reply

        network._timed_rpc = ask_again  # type: ignore[method-assign,assignment]
        return created


@broken("asks-again-after-421", "swarms", checks=(FOLLOWS_WHEN_SENDING,))
class AsksAgainAfter421(AsksAgain):
    """Ask a member that has left the swarm again before the others."""

    asks_again_after = (421,)


@broken("asks-again-after-a-failure", "swarms", checks=(PASSES_OVER_A_FAILING_MEMBER,))
class AsksAgainAfterAFailure(AsksAgain):
    """Ask a member that fails again before the others."""

    asks_again_after = (500, 502, 503)


class PollsOneMember(PicksOneMember):
    """Poll one member of the own swarm for good."""

    def client_create(self, params: Params) -> dict[str, Any]:
        created = super().client_create(params)
        resident = self.resident(params)
        find = resident.network.swarm

        async def one_member(account_id: str) -> Any:
            members = await find(account_id)
            return members[:1] if account_id == resident.account.account_id else members

        resident.network.swarm = one_member  # type: ignore[method-assign]
        return created


@broken("polls-a-dead-member", "swarms", checks=("swarms.receives_past_a_dead_member",))
class PollsADeadMember(PollsOneMember):
    """Poll one member of the own swarm for good, also when it is gone."""

    gives_up_on = (NetworkError,)


@broken("polls-a-member-that-left", "swarms", checks=("swarms.follows_a_swarm_change_when_polling",))
class PollsAMemberThatLeft(PollsOneMember):
    """Poll one member of the own swarm for good, also when it has left the swarm."""

    gives_up_on = (WrongSwarm, NetworkError)
