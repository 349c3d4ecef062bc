"""Addresses of nodes and services, and the sockets behind them."""

import errno
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.endpoints import (
    ANY,
    LOOPBACK,
    Endpoint,
    EndpointError,
    allocate_node_addresses,
    bind_socket,
    can_bind,
    endpoints_of,
    listening_host,
    loopback_range_works,
    node_address,
    parse_advertise_ip,
)


class TestAddresses:
    @pytest.mark.parametrize(
        ("number", "address"),
        [(1, "127.0.1.1"), (2, "127.0.2.1"), (254, "127.0.254.1"), (255, "127.1.1.1"), (2000, "127.7.222.1")],
    )
    def test_nodes_are_counted_through_the_loopback_range(self, number: int, address: str) -> None:
        assert node_address(number) == address

    @given(st.sets(st.integers(1, 64_770), min_size=2, max_size=50))
    def test_each_node_has_a_subnet_of_its_own(self, numbers: set[int]) -> None:
        addresses = [ipaddress.IPv4Address(node_address(number)) for number in numbers]
        subnets = {ipaddress.ip_network(f"{address}/24", strict=False) for address in addresses}
        assert len(subnets) == len(numbers)
        assert all(address.is_loopback for address in addresses)
        # 127.0.0.1 is everybody's, and octets of 255 look like broadcast addresses.
        assert not any(str(address) == "127.0.0.1" or 255 in address.packed for address in addresses)

    @pytest.mark.parametrize("number", [0, -1, 64_771])
    def test_refuses_numbers_without_an_address(self, number: int) -> None:
        with pytest.raises(EndpointError, match="no loopback address"):
            node_address(number)

    def test_addresses_are_own_or_shared(self) -> None:
        assert allocate_node_addresses(3, own_addresses=True) == ["127.0.1.1", "127.0.2.1", "127.0.3.1"]
        assert allocate_node_addresses(3, own_addresses=False) == ["127.0.0.1"] * 3

    def test_the_probe_says_what_the_system_does(self) -> None:
        expected = ["127.0.1.1", "127.0.2.1"] if loopback_range_works() else [LOOPBACK] * 2
        assert allocate_node_addresses(2) == expected
        for host in expected:
            bind_socket(host).close()

    def test_endpoint_text(self) -> None:
        assert str(Endpoint("127.0.1.1", 22021)) == "127.0.1.1:22021"
        assert str(Endpoint("::1", 80)) == "[::1]:80"


class TestAdvertising:
    @pytest.mark.parametrize("text", ["127.0.0.1", "192.168.1.20", "10.0.2.2", " 10.0.2.2\n"])
    def test_takes_addresses_that_clients_reach(self, text: str) -> None:
        assert parse_advertise_ip(text) == text.strip()

    @pytest.mark.parametrize("text", [ANY, "255.255.255.255", "224.0.0.1"])
    def test_refuses_addresses_that_no_client_reaches(self, text: str) -> None:
        with pytest.raises(EndpointError, match="no client can connect"):
            parse_advertise_ip(text)

    @pytest.mark.parametrize("text", ["", "localhost", "10.0.2", "::1", "10.0.2.2:80", "010.0.0.1"])
    def test_refuses_what_is_no_address(self, text: str) -> None:
        with pytest.raises(EndpointError, match="no IPv4 address"):
            parse_advertise_ip(text)

    def test_listens_at_the_address_itself_or_everywhere(self) -> None:
        assert listening_host(None) == LOOPBACK
        assert listening_host("127.0.0.1") == "127.0.0.1"
        # TEST-NET-3 belongs to no machine.
        assert not can_bind("203.0.113.5")
        assert listening_host("203.0.113.5") == ANY

    def test_three_addresses_of_a_service(self) -> None:
        with bind_socket("127.0.0.1") as listener:
            port = listener.getsockname()[1]
            plain, advertised = endpoints_of(listener), endpoints_of(listener, "10.0.2.2")
        assert plain.bind == plain.inner == plain.advertised == Endpoint("127.0.0.1", port)
        assert advertised.inner == Endpoint("127.0.0.1", port)
        assert advertised.advertised == Endpoint("10.0.2.2", port)

    def test_inside_a_service_bound_everywhere_is_reached_at_loopback(self) -> None:
        with bind_socket(ANY) as listener:
            found = endpoints_of(listener, "192.168.1.20")
        assert (found.bind.host, found.inner.host, found.advertised.host) == (ANY, LOOPBACK, "192.168.1.20")


class TestSockets:
    def test_a_bound_socket_accepts(self) -> None:
        with (
            bind_socket("127.0.0.1") as listener,
            socket.create_connection(listener.getsockname(), timeout=5) as client,
        ):
            assert client.getpeername() == listener.getsockname()

    def test_a_taken_port_is_named_with_a_hint(self) -> None:
        with bind_socket("127.0.0.1") as first:
            port = first.getsockname()[1]
            with pytest.raises(EndpointError) as caught:
                bind_socket("127.0.0.1", port)
        assert f"127.0.0.1:{port}" in str(caught.value)
        assert "another program" in caught.value.hint
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, OSError)

    def test_many_sockets_never_share_a_port(self) -> None:
        listeners = [bind_socket("127.0.0.1") for _ in range(50)]
        try:
            assert len({listener.getsockname()[1] for listener in listeners}) == 50
        finally:
            for listener in listeners:
                listener.close()

    def test_a_port_can_be_used_again_at_once(self) -> None:
        with bind_socket("127.0.0.1") as listener:
            address = listener.getsockname()
            client = socket.create_connection(address, timeout=5)
            served, _ = _accept(listener)
            # The side that closes first keeps the address in TIME_WAIT.
            served.close()
            client.close()
        bind_socket(*address).close()

    def test_a_foreign_address_is_refused(self) -> None:
        with pytest.raises(EndpointError, match="does not belong to this machine"):
            bind_socket("203.0.113.5")

    @pytest.mark.parametrize("port", [-1, 65_536])
    def test_an_impossible_port_is_refused(self, port: int) -> None:
        with pytest.raises(EndpointError, match="65535"):
            bind_socket("127.0.0.1", port)

    def test_a_forbidden_port_is_refused_with_a_hint(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: socket.socket, address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(socket.socket, "bind", refuse, raising=False)
        with pytest.raises(EndpointError, match="need privileges"):
            bind_socket("127.0.0.1", 80)


def _accept(listener: socket.socket) -> tuple[socket.socket, object]:
    listener.settimeout(5)
    return listener.accept()
