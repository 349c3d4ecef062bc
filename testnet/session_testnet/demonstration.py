"""Accounts for people who try apps out, with a conversation that waits for them."""

from collections.abc import Mapping
from typing import Final

from session_protocol.accounts import Account, account_bytes
from session_testnet.client import MessagingClient, NetworkClient
from session_testnet.client.bootstrap import ServiceNode
from session_testnet.client.errors import error_for_status
from session_testnet.client.network_client import Params, RpcReply
from session_testnet.clock import Clock
from session_testnet.engines.engine import Engine
from session_testnet.services.registry.snapshot import NodeInfo
from session_testnet.topology import AccountSpec, Topology

_MESSAGES: Final = 0


def account_of(spec: AccountSpec) -> Account:
    """Return the account that a topology describes."""
    return Account.from_seed(spec.entropy)


def describe_accounts(topology: Topology) -> list[dict[str, str]]:
    """Return the accounts as the state file has them, recovery passwords included."""
    accounts = [(spec.name, account_of(spec)) for spec in topology.accounts]
    return [
        {"name": name, "account_id": account.account_id, "recovery_password": account.recovery_password}
        for name, account in accounts
    ]


async def store_conversation(topology: Topology, engine: Engine, clock: Clock) -> None:
    """Store the topology's conversation as its accounts would send it.

    A network that goes on in its data directory has it already: then nothing happens.
    """
    accounts = {spec.name: account_of(spec) for spec in topology.accounts}
    if not topology.conversation or await _has_messages(engine, accounts):
        return
    clients = {
        name: MessagingClient(account, _Inside(account, engine, clock), display_name=name)
        for name, account in accounts.items()
    }
    try:
        for line in topology.conversation:
            await clients[line.sender].send(
                accounts[line.recipient].account_id, {"kind": "text", "body": line.text}
            )
    finally:
        for client in clients.values():
            await client.network.aclose()


async def _has_messages(engine: Engine, accounts: Mapping[str, Account]) -> bool:
    for account in accounts.values():
        key = account_bytes(account.account_id)
        if await engine.stored_messages(_member(engine, account.account_id).name, key, _MESSAGES):
            return True
    return False


def _member(engine: Engine, account_id: str) -> NodeInfo:
    _, members = engine.registry.snapshot().swarm_of(account_bytes(account_id))
    return members[0]


class _Inside(NetworkClient):
    """Reach nodes without a connection: the addresses that clients are told may not be this machine's."""

    def __init__(self, account: Account, engine: Engine, clock: Clock) -> None:
        super().__init__(account, [], use_onion=False, clock=clock.now_ms)
        self._engine = engine

    async def account_rpc(
        self, account_id: str, method: str, params: Params, *, prefer: ServiceNode | None = None
    ) -> RpcReply:
        """Ask a member of the account's swarm, once."""
        del prefer
        member = _member(self._engine, account_id)
        node = ServiceNode(member.ed25519_pk, member.x25519_pk, member.ip, member.https_port)
        values = params(self.now_ms(), node) if callable(params) else params
        result = await self._engine.ask_node(member.name, method, values)
        if result.status != 200:
            raise error_for_status(result.status, result.body, f"{method} at {member.name}")
        return RpcReply(result.status, result.body, node)
