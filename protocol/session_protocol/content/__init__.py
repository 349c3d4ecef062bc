"""The Content protobuf as the neutral content object of the testee contract (testee-operations §2.3).

The object is plain JSON: a ``kind`` and that kind's fields. A field that the message does not have is
absent, so building and parsing are inverse to each other. Besides its own fields every kind may carry
``timestamp_ms`` and ``expiration``; every kind of DataMessage may carry ``profile``, ``sync_target`` and
``blocks_community_requests``. The group kinds use the names of GroupUpdateMessage's fields, in snake case,
with the suffixes ``_hex`` and ``_s``.
"""

from session_protocol.content.building import build_content
from session_protocol.content.parsing import parse_content, signature_timestamp_ms
from session_protocol.errors import BadFormat

__all__ = ["BadFormat", "build_content", "parse_content", "signature_timestamp_ms"]
