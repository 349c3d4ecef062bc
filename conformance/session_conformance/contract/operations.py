"""All operations of the contract, with tier, letter and one sentence each (testee-operations §§1.2, 2, 3)."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Tier(StrEnum):
    """Say how much a testee can do (testee-operations §5)."""

    L0 = "L0"  # says hello
    L1 = "L1"  # minimal stateless operations
    L2 = "L2"  # standard
    L3 = "L3"  # complete
    L4 = "L4"  # sends and polls on a network
    L5 = "L5"  # everything between two people
    L6 = "L6"  # configs, groups, communities, push


class Letter(StrEnum):
    """Give the norm's mark of a stateless operation: minimal, standard, complete."""

    MINIMAL = "M"
    STANDARD = "S"
    COMPLETE = "C"


_TIER_OF_LETTER: Final = {Letter.MINIMAL: Tier.L1, Letter.STANDARD: Tier.L2, Letter.COMPLETE: Tier.L3}


@dataclass(frozen=True, slots=True)
class Operation:
    """Describe one operation of the contract."""

    name: str
    tier: Tier
    sentence: str
    letter: Letter | None = None

    @property
    def stateful(self) -> bool:
        """Say whether the operation acts for an account on a network."""
        return self.name.startswith("client.")

    @property
    def params_schema(self) -> str:
        """Return the reference of the schema of ``params``."""
        return f"operations.json#/$defs/{self.name}.params"

    @property
    def result_schema(self) -> str:
        """Return the reference of the schema of ``result``."""
        return f"operations.json#/$defs/{self.name}.result"


_LIFECYCLE: Final = """
hello      | Say who the testee is and what it can do.
reset      | Forget all accounts and all state, in the same process.
bye        | End with exit code 0 within five seconds.
bench.run  | Repeat an operation on given inputs and report the time that it took.
"""

_STATELESS: Final = """
identity.derive               M | Derive keys and Account ID from a seed of 16 or 32 bytes.
identity.generate             M | Make a new account.
identity.validate             M | Say whether a text is an Account ID, and of which kind.
mnemonic.encode               M | Write a seed as a recovery password.
mnemonic.decode               M | Restore the seed from a recovery password.
mnemonic.wordlist             C | Describe the word list of a language.
curve.ed_pk_to_x              S | Convert an Ed25519 public key to X25519.
curve.x_pk_to_ed              C | Convert an X25519 public key to Ed25519.
xed25519.sign                 C | Sign with an X25519 key.
xed25519.verify               C | Verify a signature of an X25519 key.
session.encrypt               M | Seal a message to an Account ID.
session.encrypt_deterministic C | Seal a message with keys derived from it.
session.decrypt               M | Open a sealed message and name its sender.
padding.pad                   M | Pad a message.
padding.unpad                 M | Remove the padding of a message.
message.encode_1o1            M | Write a whole one-to-one message, as it is stored.
message.decode_1o1            M | Read a whole one-to-one message.
message.parse_content         S | Read a Content protobuf.
message.build_content         S | Write a Content protobuf.
blind15.key                   S | Derive the blinded key of an account on a community server, 15 scheme.
blind25.key                   S | Derive the blinded key of an account on a community server, 25 scheme.
blind15.id                    S | Compute the two possible blinded ids of an Account ID, 15 scheme.
blind25.id                    S | Compute the blinded id of an Account ID, 25 scheme.
blind15.sign                  S | Sign with the blinded key, 15 scheme.
blind25.sign                  S | Sign with the blinded key, 25 scheme.
blinded.match                 C | Say whether a blinded id belongs to an Account ID.
blinded_dm.encrypt            C | Seal a message to a blinded id.
blinded_dm.decrypt            C | Open a message between blinded ids.
sogs.auth_headers             S | Make the four headers that authenticate a community request.
community.encode_message      S | Write and sign a community message.
community.decode_message      S | Read a community message and verify its signature.
version.sign_request          C | Sign a request for the newest version number.
storage.sign                  S | Sign a storage request.
storage.build_request         S | Build the whole body of a storage request.
storage.message_hash          C | Compute the hash that a node gives a message.
storage.max_sizes             C | Compute how much a retrieve may ask of each namespace.
onion.build                   S | Wrap a payload into the layers of an onion request.
onion.open_reply              S | Open the answer to an onion request.
onion.peel                    C | Take one layer off an onion request, as a node does.
onion.seal_reply              C | Seal an answer, as a destination does.
ons.name_hash                 C | Hash a name for the name service.
ons.decrypt                   C | Decrypt the Account ID behind a name.
push.subscribe_body           C | Build the body of a push subscription.
push.decrypt                  C | Decrypt a push notification.
attachment.encrypt_legacy     S | Encrypt an attachment with AES-CBC and HMAC.
attachment.decrypt_legacy     S | Decrypt such an attachment.
attachment.encrypt            C | Encrypt an attachment as a deterministic stream.
attachment.decrypt            C | Decrypt such an attachment.
attachment.legacy_padded_size C | Compute the padded size of an attachment.
attachment.size               C | Compute the size of the encrypted stream.
profile_pic.encrypt_legacy    C | Encrypt a profile picture with AES-GCM.
profile_pic.decrypt_legacy    C | Decrypt such a profile picture.
config.encrypt                C | Encrypt a config message.
config.decrypt                C | Decrypt a config message.
config.wrap_protobuf          C | Wrap a config message for its namespace.
config.unwrap_protobuf        C | Unwrap a config message.
config.parse                  C | Parse a serialized config message.
config.object.new             C | Create a config object.
config.object.set             C | Set a value of a config object.
config.object.get             C | Get a value of a config object.
config.object.push            C | Produce the messages that a changed config object has to push.
config.object.confirm         C | Confirm that a config object was pushed.
config.object.merge           C | Merge messages of other devices into a config object.
config.object.dump            C | Serialize the whole state of a config object.
group.id                      C | Derive the id of a group from its seed.
group.rekey                   C | Make a new group key and the message that hands it out.
group.key_supplement          C | Hand existing group keys to new members.
group.load_keys               C | Read group keys from a keys message.
group.encrypt                 C | Encrypt a group message.
group.decrypt                 C | Decrypt a group message and name its sender.
group.subaccount              C | Make the token of a member's subaccount.
group.subaccount_sign         C | Sign a storage request as a subaccount.
group.subaccount_verify       C | Verify the token of a subaccount.
group.admin_sign              C | Sign a message that only an admin may send.
group.admin_verify            C | Verify such a signature.
group.kicked_message          C | Make the message that tells members they were removed.
group.kicked_check            C | Say whether such a message removes this member.
multi.encrypt_simple          C | Encrypt one message to several recipients.
multi.decrypt_simple          C | Decrypt a message to several recipients.
"""

_STATEFUL: Final = """
client.create               L4 | Create or restore an account on a network.
client.close                L4 | Stop the client of an account.
client.swarm                L4 | Name the service nodes of a swarm.
client.send                 L4 | Send a message.
client.poll                 L4 | Ask the swarm once for new messages.
client.messages             L4 | List the messages of a conversation.
client.upload               L5 | Encrypt and upload an attachment.
client.download             L5 | Download and decrypt an attachment.
client.react                L5 | React to a message.
client.unreact              L5 | Take a reaction back.
client.delete_message       L5 | Delete a message, here or everywhere.
client.mark_read            L5 | Mark messages as read.
client.typing               L5 | Say that one is typing, or has stopped.
client.set_profile          L5 | Set the own name and picture.
client.profile              L5 | Tell the known profile of an account.
client.accept_request       L5 | Accept a message request.
client.block                L5 | Block an account.
client.set_expiration       L5 | Set the timer of a conversation.
client.resolve_ons          L5 | Resolve a name to an Account ID.
client.state                L5 | Tell conversations, contacts, last hashes and clock offset.
client.set_clock            L5 | Move the client's clock.
client.set_online           L5 | Connect or disconnect the client.
client.sync_now             L6 | Push and pull the configs.
client.config               L6 | Show one config in a neutral form.
client.group_create         L6 | Create a group.
client.group_invite         L6 | Invite members to a group.
client.group_accept         L6 | Accept the invitation to a group.
client.group_promote        L6 | Make members admins of a group.
client.group_remove         L6 | Remove members from a group.
client.group_leave          L6 | Leave a group.
client.group_rename         L6 | Rename a group.
client.group_set_expiration L6 | Set the timer of a group.
client.group_destroy        L6 | Destroy a group for all.
client.group_state          L6 | Tell name, members and keys of a group.
client.community_join       L6 | Join a community room.
client.community_leave      L6 | Leave a community room.
client.community_send       L6 | Send a message to a room.
client.community_messages   L6 | List the messages of a room.
client.community_react      L6 | React to a message of a room.
client.community_delete     L6 | Delete a message of a room.
client.community_dm         L6 | Send a direct message to a blinded id.
client.community_inbox      L6 | List the direct messages of a community server.
client.push_register        L6 | Register for push notifications.
client.push_decrypt         L6 | Decrypt a push notification.
client.call                 L6 | Send the signalling of a call.
"""


def _rows(table: str) -> Iterable[tuple[list[str], str]]:
    for line in table.strip().splitlines():
        head, _, sentence = line.partition("|")
        yield head.split(), sentence.strip()


def _table() -> dict[str, Operation]:
    operations = [Operation(name, Tier.L0, sentence) for (name,), sentence in _rows(_LIFECYCLE)]
    for (name, mark), sentence in _rows(_STATELESS):
        letter = Letter(mark)
        operations.append(Operation(name, _TIER_OF_LETTER[letter], sentence, letter))
    operations += [Operation(name, Tier(tier), sentence) for (name, tier), sentence in _rows(_STATEFUL)]
    return {operation.name: operation for operation in operations}


OPERATIONS: Final[Mapping[str, Operation]] = _table()
"""Every operation of the contract by its name."""

MANDATORY: Final = frozenset({"hello", "reset", "bye"})
"""Operations that every testee has, declared or not (testee-operations §§1.1, 1.2)."""


def tier_of(operations: Collection[str]) -> Tier:
    """Return the highest tier of the named operations; L0 for none."""
    return max((OPERATIONS[name].tier for name in operations), default=Tier.L0)


def operations_of(tier: Tier) -> tuple[Operation, ...]:
    """Return the operations that a tier adds to the one below; ``bench.run`` is nobody's duty."""
    return tuple(entry for entry in OPERATIONS.values() if entry.tier is tier and entry.name != "bench.run")


def declared_tiers(operations: Collection[str]) -> frozenset[Tier]:
    """Return the tiers that are declared whole: stateless and stateful tiers may be reached independently."""
    declared = MANDATORY.union(operations)
    return frozenset(
        tier for tier in Tier if all(operation.name in declared for operation in operations_of(tier))
    )
