"""The rules of namespaces: who may store and read without a signature, and for how long (storage-rpc §5)."""

from session_protocol.errors import InvalidArgument

SMALLEST_NAMESPACE = -(2**15)
LARGEST_NAMESPACE = 2**15 - 1
LEGACY_CLOSED_GROUP = -10
TESTING = -3741
"""Reserved: nothing can be stored there, and everybody may read its emptiness."""

DAY_MS = 24 * 3600 * 1000
PUBLIC_INBOX_MAX_TTL_MS = 14 * DAY_MS
MAX_TTL_MS = 30 * DAY_MS


def is_public_inbox(namespace: int) -> bool:
    """Tell whether everybody may store there: multiples of 10, of either sign."""
    return _checked(namespace) % 10 == 0


def is_public_outbox(namespace: int) -> bool:
    """Tell whether everybody may read there, and one message only is kept: -1, -21, -41 and so on."""
    return _checked(namespace) < 0 and -namespace % 20 == 1


def is_unrevocable(namespace: int) -> bool:
    """Tell whether even a revoked sub-account may read there: -11, -111 and so on."""
    return _checked(namespace) < 0 and -namespace % 100 == 11


def allows_unauthenticated_store(namespace: int) -> bool:
    """Tell whether ``store`` needs no signature there."""
    return is_public_inbox(namespace)


def allows_unauthenticated_retrieve(namespace: int) -> bool:
    """Tell whether ``retrieve`` needs no signature there."""
    return is_public_outbox(namespace) or namespace in (LEGACY_CLOSED_GROUP, TESTING)


def max_ttl_ms(namespace: int) -> int:
    """Return how long a message may be kept there, in milliseconds."""
    return PUBLIC_INBOX_MAX_TTL_MS if is_public_inbox(namespace) else MAX_TTL_MS


def namespace_text(namespace: int) -> str:
    """Return how signatures and hashes write a namespace: nothing for 0, else its decimal text with sign.

    Raise InvalidArgument for a number outside 16 bits.
    """
    return str(namespace) if _checked(namespace) else ""


def _checked(namespace: int) -> int:
    if not SMALLEST_NAMESPACE <= namespace <= LARGEST_NAMESPACE:
        raise InvalidArgument(f"namespace {namespace} is outside {SMALLEST_NAMESPACE} to {LARGEST_NAMESPACE}")
    return namespace
