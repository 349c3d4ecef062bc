"""How many requests a client address may make: a bucket of tokens that fills up again (storage-rpc §1)."""

from typing import Final

from session_testnet.knobs import RateLimit

_MAX_CLIENTS: Final = 10_000


class RateLimiter:
    """Count the requests of each client address; times are in milliseconds of the node's clock."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, int]] = {}

    def allows(self, address: str, now_ms: int, limit: RateLimit) -> bool:
        """Take a token for one request; False when there is none left."""
        full = float(limit.tokens)
        tokens, since_ms = self._buckets.get(address, (full, now_ms))
        gained = max(0, now_ms - since_ms) * limit.per_second / 1000
        tokens = min(full, tokens + gained)
        if address not in self._buckets and len(self._buckets) >= _MAX_CLIENTS:
            self.drop_idle(now_ms, limit)
            if len(self._buckets) >= _MAX_CLIENTS:
                return False
        allowed = tokens >= 1
        self._buckets[address] = (tokens - 1 if allowed else tokens, now_ms)
        return allowed

    def drop_idle(self, now_ms: int, limit: RateLimit) -> None:
        """Forget the addresses whose bucket is full again."""
        if not limit.per_second:
            return
        fill_ms = limit.tokens * 1000 // limit.per_second
        self._buckets = {
            address: bucket for address, bucket in self._buckets.items() if now_ms - bucket[1] < fill_ms
        }

    def forget(self) -> None:
        """Give every address a full bucket."""
        self._buckets.clear()
