"""A whole testnet in one container, as other people's tests start it."""

import asyncio

import pytest

from session_protocol.accounts import Account
from session_testnet.client import NetworkClient
from session_testnet.docker_daemon import DockerError, connect

containers = pytest.importorskip("session_testnet.containers")
pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("container_image", "no_reaper")]


@pytest.fixture
def no_reaper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without testcontainers' own container that removes others, whose image cannot be had everywhere."""
    from testcontainers.core.config import testcontainers_config

    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)


def test_a_client_uses_the_testnet_and_a_test_acts_on_it() -> None:
    with containers.SessionTestnetContainer(nodes=5) as testnet:

        async def ask() -> int:
            account = Account.from_seed(bytes(32))
            async with NetworkClient(account, [testnet.registry_url]) as client:
                await client.bootstrap()
                await client.swarm(account.account_id)
                return len(client.nodes)

        assert asyncio.run(ask()) == 5
        assert len({testnet.registry_url, testnet.gateway_url, testnet.files_url, testnet.community_url}) == 4
        with testnet.network() as network:
            network.node("node-03").kill()
            assert network.node("node-03").status()["status"] == "stopped"
        name = testnet.get_wrapped_container().name
    client = connect()
    try:
        assert name not in [each.name for each in client.containers.list(all=True, ignore_removed=True)]
    finally:
        client.close()


def test_what_goes_wrong_inside_is_told() -> None:
    with pytest.raises(DockerError, match="there is no profile 'wrong'"):
        containers.SessionTestnetContainer(profile="wrong").start()


def test_a_missing_image_is_a_clear_error() -> None:
    with pytest.raises(DockerError, match="cannot start a testnet in localhost:1/no-such-image") as caught:
        containers.SessionTestnetContainer("localhost:1/no-such-image").start()
    assert "session-harness image build" in caught.value.hint
