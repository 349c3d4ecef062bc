"""Messages that a room holds from the start, posted and properly signed by an account of the server's own."""

import hashlib
from collections.abc import Sequence

from session_protocol.accounts import Account
from session_protocol.community import blind15_key, sign_community_message
from session_testnet.services.community.posts import Draft, PostBook
from session_testnet.services.community.rooms import Room
from session_testnet.services.community.users import UserDirectory


class Greeter:
    """Post texts as an account derived from the server's secret key, the same one at each start."""

    def __init__(self, server_secret: bytes, server_pk: bytes, *, blinded: bool) -> None:
        seed = hashlib.blake2b(server_secret, digest_size=32, person=b"roomgreeter").digest()
        self._account = Account.from_seed(seed)
        self._server_pk = server_pk
        self._blinded = blinded

    @property
    def session_id(self) -> str:
        """Return the id under which the texts are posted: blinded where the server wants it."""
        if self._blinded:
            return blind15_key(self._account, self._server_pk).id
        return self._account.account_id

    def post(
        self, texts: Sequence[str], room: Room, posts: PostBook, users: UserDirectory, *, now_ms: int
    ) -> None:
        """Post texts into a room, in order."""
        # Protobuf is loaded only by servers that have something to say.
        from session_protocol.content import build_content
        from session_protocol.padding import pad

        author = users.find_or_add(self.session_id, now_ms=now_ms)
        for text in texts:
            content = {"kind": "text", "body": text, "timestamp_ms": now_ms}
            # Clients drop messages whose signature does not verify over the padded bytes (open-group-server
            # §9.7).
            data = pad(build_content(content))
            signature = sign_community_message(self._account, self._server_pk, data, blinded=self._blinded)
            posts.add(room, author, Draft(data, signature), now_ms=now_ms)
