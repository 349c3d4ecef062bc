"""What changed between the releases of the storage server that nodes imitate (storage-rpc §15)."""

from dataclasses import dataclass
from typing import Final

Version = tuple[int, int, int]

NEWEST_VERSION: Final[Version] = (2, 11, 3)
OLDER_VERSION: Final[Version] = (2, 8, 0)
# The newer behaviour of storage-rpc §15 is that of the 2.10 line and later.
_FIRST_NEWER: Final = (2, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionProfile:
    """How one release behaves, one field for each row of the table of differences.

    ``retries_forwards`` concerns forwarding and ``watches_swarm_of_subscribers`` the push of new messages.
    """

    serving_hardfork: tuple[int, int]
    serves_without_swarm: bool
    readiness_gates_omq: bool
    reports_failed_swarm: bool
    names_account_of_other_swarm: bool
    fails_without_swarms: bool
    lists_unreachable_nodes: bool
    reverse_direction: bool
    skips_trivial_extensions: bool
    outbox_keeps_newest: bool
    deletes_before_in_all_namespaces: bool
    newer_methods: bool
    reserves_testing_namespace: bool
    watches_swarm_of_subscribers: bool
    tolerates_late_revocations: bool
    retries_forwards: bool
    serves_ipv6: bool


_OLDER: Final = VersionProfile(
    serving_hardfork=(19, 3),
    serves_without_swarm=False,
    readiness_gates_omq=False,
    reports_failed_swarm=False,
    names_account_of_other_swarm=False,
    fails_without_swarms=False,
    lists_unreachable_nodes=True,
    reverse_direction=False,
    skips_trivial_extensions=False,
    outbox_keeps_newest=False,
    deletes_before_in_all_namespaces=False,
    newer_methods=False,
    reserves_testing_namespace=False,
    watches_swarm_of_subscribers=False,
    tolerates_late_revocations=False,
    retries_forwards=False,
    serves_ipv6=False,
)
_NEWER: Final = VersionProfile(
    serving_hardfork=(19, 6),
    serves_without_swarm=True,
    readiness_gates_omq=True,
    reports_failed_swarm=True,
    names_account_of_other_swarm=True,
    fails_without_swarms=True,
    lists_unreachable_nodes=False,
    reverse_direction=True,
    skips_trivial_extensions=True,
    outbox_keeps_newest=True,
    deletes_before_in_all_namespaces=True,
    newer_methods=True,
    reserves_testing_namespace=True,
    watches_swarm_of_subscribers=True,
    tolerates_late_revocations=True,
    retries_forwards=True,
    serves_ipv6=True,
)
# Methods that came with the newer releases (storage-rpc §§10.13, 10.14).
NEWER_METHODS: Final = frozenset({"revoked_subaccounts", "active_nodes_bin"})


def profile_of(version: Version) -> VersionProfile:
    """Return how a release behaves."""
    return _NEWER if version[:2] >= _FIRST_NEWER else _OLDER
