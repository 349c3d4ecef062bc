"""The reference testee: what it declares, how it answers, how it starts, how it is subclassed."""

import base64
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from session_conformance.contract.operations import OPERATIONS, Tier, operations_of
from session_conformance.contract.validation import result_problem
from session_conformance.testees.kit_python.session_testee_kit import Params
from session_conformance.testees.reference import ReferenceTestee
from session_protocol.accounts import Account
from session_protocol.service_nodes import NodeIdentity

ALICE = Account.from_seed(bytes(range(16)))
BOB = Account.from_seed(bytes(range(16, 32)))
SERVER = "c3b3c6f32f0ab5a57f853cc4f30f5da7fda5624b0c77b3fb0829de562ada081d"


@pytest.fixture
def testee() -> ReferenceTestee:
    return ReferenceTestee()


def call(testee: ReferenceTestee, op: str, **params: Any) -> dict[str, Any]:
    reply = testee.handle({"id": 1, "op": op, "params": params})
    assert "result" in reply, reply["error"]
    result: dict[str, Any] = reply["result"]
    assert result_problem(op, result) is None
    return result


def refusal(testee: ReferenceTestee, op: str, **params: Any) -> str:
    reply = testee.handle({"id": 1, "op": op, "params": params})
    assert "error" in reply, f"{op} accepted {params}"
    assert reply["error"]["kind"] == "rejected", reply["error"]
    code: str = reply["error"]["code"]
    return code


class TestDeclaration:
    def test_declares_only_operations_of_the_contract(self, testee: ReferenceTestee) -> None:
        assert set(testee.operations) <= set(OPERATIONS)

    @pytest.mark.parametrize("tier", [Tier.L1, Tier.L4])
    def test_declares_whole_tiers(self, testee: ReferenceTestee, tier: Tier) -> None:
        assert {entry.name for entry in operations_of(tier)} <= set(testee.operations)

    def test_says_hello_in_the_form_of_the_contract(self, testee: ReferenceTestee) -> None:
        hello = call(testee, "hello", contract=[1], harness="test", seed=1)
        assert hello["features"]["network"] == "both"

    @pytest.mark.parametrize("op", ReferenceTestee().operations)
    def test_each_operation_is_a_method_of_its_name(self, op: str) -> None:
        assert callable(getattr(ReferenceTestee, op.replace(".", "_")))

    def test_a_subclass_changes_an_operation_by_its_method(self) -> None:
        class Careless(ReferenceTestee):
            def padding_pad(self, params: Params) -> dict[str, Any]:
                return {"padded_hex": params.hex("message_hex") + bytes(160)}

        class Curious(ReferenceTestee):
            def session_decrypt(self, params: Params) -> dict[str, Any]:
                return super().session_decrypt(params) | {"sender_session_id": ALICE.account_id}

        assert call(Careless(), "padding.pad", message_hex="")["padded_hex"] == "00" * 160
        ciphertext = call(
            Curious(),
            "session.encrypt",
            sender_seed=BOB.entropy.hex(),
            recipient_session_id=BOB.account_id,
            message_hex="00",
        )["ciphertext"]
        opened = call(Curious(), "session.decrypt", recipient_seed=BOB.entropy.hex(), ciphertext=ciphertext)
        assert opened["sender_session_id"] == ALICE.account_id


class TestIdentity:
    def test_derives_a_published_account(self, testee: ReferenceTestee) -> None:
        derived = call(testee, "identity.derive", seed_hex="ec45addd629e84472edbfab1f7deee83")
        assert derived["session_id"] == "05ab0badfc19ac18f71d7bb10d5ca5c92731aa301cc483169c691cf697b83e765a"
        assert derived["ed25519_sk64"] == derived["ed25519_seed"] + derived["ed25519_pk"]

    def test_generates_what_it_can_restore(self, testee: ReferenceTestee) -> None:
        made = call(testee, "identity.generate")
        restored = call(testee, "mnemonic.decode", words=made["words"], language="english")
        assert (restored["seed_hex"], restored["session_id"]) == (made["seed_hex"], made["session_id"])
        words = call(testee, "mnemonic.encode", seed_hex=made["seed_hex"], language="english")["words"]
        assert words == made["words"]

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            (ALICE.account_id, "standard"),
            ("03" + "ab" * 32, "group"),
            ("15" + "ab" * 32, "blinded15"),
            ("25" + "ab" * 32, "blinded25"),
        ],
    )
    def test_knows_kinds_of_ids(self, testee: ReferenceTestee, text: str, kind: str) -> None:
        assert call(testee, "identity.validate", session_id=text) == {"valid": True, "kind": kind}

    def test_a_wrong_id_is_an_answer(self, testee: ReferenceTestee) -> None:
        assert call(testee, "identity.validate", session_id="05ab") == {"valid": False}

    def test_describes_the_word_list(self, testee: ReferenceTestee) -> None:
        assert call(testee, "mnemonic.wordlist", language="english") == {
            "count": 1626,
            "prefix_length": 3,
            "sha256_of_words_joined_by_newline": (
                "998df55cb16d2318130c5cf7e9d4408247c8c4674935ee6e07d53f2f00ccf19b"
            ),
        }

    def test_converts_keys_both_ways(self, testee: ReferenceTestee) -> None:
        assert call(testee, "curve.ed_pk_to_x", ed25519_pk=ALICE.ed25519_pk.hex()) == {
            "x25519_pk": ALICE.x25519_pk.hex()
        }
        back = call(testee, "curve.x_pk_to_ed", x25519_pk=ALICE.x25519_pk.hex())["ed25519_pk"]
        assert bytes.fromhex(back)[:31] == ALICE.ed25519_pk[:31]

    def test_signs_with_x25519_keys(self, testee: ReferenceTestee) -> None:
        signature = call(testee, "xed25519.sign", x25519_sk=ALICE.x25519_sk.hex(), message_hex="abcd")[
            "signature"
        ]
        for message, valid in (("abcd", True), ("abce", False)):
            verdict = call(
                testee,
                "xed25519.verify",
                x25519_pk=ALICE.x25519_pk.hex(),
                message_hex=message,
                signature=signature,
            )
            assert verdict == {"valid": valid}

    @pytest.mark.parametrize(
        ("op", "params", "code"),
        [
            ("identity.derive", {"seed_hex": "00"}, "invalid_length"),
            ("identity.derive", {}, "invalid_argument"),
            ("mnemonic.decode", {"words": "abbey " * 4}, "bad_mnemonic_words"),
            ("mnemonic.decode", {"words": "abbey " * 12 + "zzz"}, "bad_mnemonic_word"),
            ("mnemonic.encode", {"seed_hex": "00" * 16, "language": "klingon"}, "invalid_argument"),
        ],
    )
    def test_refusals_carry_their_code(
        self, testee: ReferenceTestee, op: str, params: dict[str, Any], code: str
    ) -> None:
        assert refusal(testee, op, **params) == code


class TestMessages:
    def test_seals_for_one_recipient(self, testee: ReferenceTestee) -> None:
        for op in ("session.encrypt", "session.encrypt_deterministic"):
            ciphertext = call(
                testee,
                op,
                sender_seed=ALICE.entropy.hex(),
                recipient_session_id=BOB.account_id,
                message_hex="aabb",
            )["ciphertext"]
            opened = call(testee, "session.decrypt", recipient_seed=BOB.entropy.hex(), ciphertext=ciphertext)
            assert opened == {
                "message_hex": "aabb",
                "sender_session_id": ALICE.account_id,
                "sender_ed25519": ALICE.ed25519_pk.hex(),
            }
            assert (
                refusal(testee, "session.decrypt", recipient_seed=ALICE.entropy.hex(), ciphertext=ciphertext)
                == "decrypt_failed"
            )

    def test_an_ephemeral_seed_makes_sealing_repeatable(self, testee: ReferenceTestee) -> None:
        params = {
            "sender_seed": ALICE.entropy.hex(),
            "recipient_session_id": BOB.account_id,
            "message_hex": "aabb",
            "ephemeral_seed_hex": "07" * 32,
        }
        assert call(testee, "session.encrypt", **params) == call(testee, "session.encrypt", **params)

    def test_pads_and_unpads(self, testee: ReferenceTestee) -> None:
        padded = call(testee, "padding.pad", message_hex="aa" * 159)["padded_hex"]
        assert len(padded) // 2 == 320
        assert call(testee, "padding.unpad", padded_hex=padded) == {"message_hex": "aa" * 159}

    def test_encodes_and_decodes_a_message(self, testee: ReferenceTestee) -> None:
        content = {"kind": "text", "body": "hello", "timestamp_ms": 1_700_000_000_000}
        encoded = call(
            testee,
            "message.encode_1o1",
            sender_seed=ALICE.entropy.hex(),
            recipient_session_id=BOB.account_id,
            content=content,
            timestamp_ms=1_700_000_000_000,
        )
        decoded = call(
            testee,
            "message.decode_1o1",
            recipient_seed=BOB.entropy.hex(),
            data_base64=encoded["data_base64"],
        )
        assert decoded["sender_session_id"] == ALICE.account_id
        assert decoded["timestamp_ms"] == 1_700_000_000_000
        assert decoded["content"]["body"] == "hello"
        assert decoded["content_hex"] == encoded["content_hex"]
        assert decoded["envelope"] == {
            "type": 6,
            "timestamp": 1_700_000_000_000,
            "source": "",
            "source_device": 1,
            "prosig_length": 64,
        }

    def test_a_copy_names_its_target(self, testee: ReferenceTestee) -> None:
        encoded = call(
            testee,
            "message.encode_1o1",
            sender_seed=ALICE.entropy.hex(),
            recipient_session_id=ALICE.account_id,
            content={"kind": "text", "body": "hello", "timestamp_ms": 5},
            timestamp_ms=5,
            sync_target=BOB.account_id,
        )
        decoded = call(
            testee,
            "message.decode_1o1",
            recipient_seed=ALICE.entropy.hex(),
            data_base64=encoded["data_base64"],
        )
        assert decoded["content"]["sync_target"] == BOB.account_id
        assert decoded["content_hex"] == encoded["content_hex"]

    def test_content_goes_both_ways(self, testee: ReferenceTestee) -> None:
        content = {"kind": "reaction", "target_ms": 5, "author": BOB.account_id, "emoji": "👍"}
        built = call(testee, "message.build_content", content=content)["content_hex"]
        read = call(testee, "message.parse_content", content_hex=built)["content"]
        assert {key: read[key] for key in content} == content

    @pytest.mark.parametrize(
        ("op", "params", "code"),
        [
            ("session.encrypt", {"recipient_session_id": "05ab", "message_hex": ""}, "invalid_id"),
            ("message.decode_1o1", {"data_base64": "***"}, "bad_format"),
            ("message.decode_1o1", {"data_base64": "AAIA"}, None),
            ("message.build_content", {"content": {"kind": "no such kind"}}, None),
            ("message.parse_content", {"content_hex": "ff"}, "bad_format"),
        ],
    )
    def test_bad_input_is_refused(
        self, testee: ReferenceTestee, op: str, params: dict[str, Any], code: str | None
    ) -> None:
        seeds = {"sender_seed": ALICE.entropy.hex(), "recipient_seed": ALICE.entropy.hex()}
        found = refusal(testee, op, **seeds, **params)
        assert code in (None, found)


class TestStorage:
    def test_signs_what_a_node_checks(self, testee: ReferenceTestee) -> None:
        # Published: client_vectors snode-sig for this seed (client-protocol §6.1).
        signed = call(
            testee,
            "storage.sign",
            seed_hex="0123456789abcdef0123456789abcdef" + "00" * 16,
            method="retrieve",
            namespace=0,
            timestamp_ms=1_700_000_000_000,
        )
        assert bytes.fromhex(signed["signed_hex"]) == b"retrieve1700000000000"
        assert signed["signature_base64"] == (
            "WyOyu+IdImmQ8OV7AdFy6O5bTGN2pn7r6UQdyVYaZIkW25BqP1rzts9nJJOT85kCiurH2eozd2DV7Mhds7fGAg=="
        )

    def test_signs_for_a_group(self, testee: ReferenceTestee) -> None:
        signed = call(
            testee,
            "storage.sign",
            group_seed="07" * 32,
            method="store",
            namespace=11,
            timestamp_ms=5,
        )
        assert bytes.fromhex(signed["signed_hex"]) == b"store115"

    def test_subaccounts_are_honestly_unsupported(self, testee: ReferenceTestee) -> None:
        reply = testee.handle(
            {"id": 1, "op": "storage.sign", "params": {"auth_data": "00" * 100, "method": "store"}}
        )
        assert reply["error"]["kind"] == "unsupported"

    def test_builds_signed_and_unsigned_requests(self, testee: ReferenceTestee) -> None:
        common = {"seed_hex": ALICE.entropy.hex(), "timestamp_ms": 7}
        retrieve = call(
            testee, "storage.build_request", method="retrieve", namespace=5, last_hash="", **common
        )["request"]
        assert retrieve["method"] == "retrieve"
        assert retrieve["params"].keys() == {
            "namespace",
            "last_hash",
            "timestamp",
            "pubkey",
            "pubkey_ed25519",
            "signature",
        }
        store = call(
            testee,
            "storage.build_request",
            method="store",
            namespace=0,
            ttl_ms=5,
            data_base64="AA==",
            **common,
        )["request"]
        assert store["params"] == {
            "pubkey": ALICE.account_id,
            "namespace": 0,
            "timestamp": 7,
            "ttl": 5,
            "data": "AA==",
        }

    def test_names_messages_as_nodes_do(self, testee: ReferenceTestee) -> None:
        named = call(testee, "storage.message_hash", pubkey=ALICE.account_id, namespace=0, data_base64="AAEC")
        assert len(named["hash"]) == 43

    @pytest.mark.parametrize(
        "params",
        [
            {"method": "retrieve"},
            {"method": "no such method", "timestamp_ms": 5},
            {"method": "expire", "messages": ["x"], "expiry": 5, "shorten": True, "extend": True},
            {"method": "expire", "messages": ["x"], "expiry": "soon"},
            {"method": "delete", "messages": [5]},
            {"method": "retrieve", "timestamp_ms": 5, "namespace": 1.5},
        ],
    )
    def test_bad_requests_are_refused(self, testee: ReferenceTestee, params: dict[str, Any]) -> None:
        assert refusal(testee, "storage.sign", seed_hex=ALICE.entropy.hex(), **params) == "invalid_argument"


class TestOnion:
    NODES = tuple(NodeIdentity.from_seed(bytes([number]) * 32) for number in (0x11, 0x22, 0x33, 0x44))

    def keys(self, node: NodeIdentity) -> dict[str, str]:
        return {"ed25519_pk": node.ed25519_pk.hex(), "x25519_pk": node.x25519_pk.hex()}

    @pytest.mark.parametrize("enc_type", ["aes-gcm", "xchacha20"])
    def test_each_node_peels_its_layer_and_the_answer_comes_back(
        self, testee: ReferenceTestee, enc_type: str
    ) -> None:
        request = b'{"method":"info","params":{}}'
        built = call(
            testee,
            "onion.build",
            path=[self.keys(node) for node in self.NODES[:3]],
            destination={"kind": "node", **self.keys(self.NODES[3])},
            payload=request.hex(),
            enc_type=enc_type,
        )
        body = built["body"]
        for node, following in zip(self.NODES, self.NODES[1:], strict=False):
            peeled = call(testee, "onion.peel", node_x25519_sk=node.x25519_sk.hex(), body=body)
            assert peeled["layer"]["kind"] == "relay"
            assert peeled["layer"]["destination"] == following.ed25519_pk.hex()
            body = peeled["inner"]
        last = call(testee, "onion.peel", node_x25519_sk=self.NODES[3].x25519_sk.hex(), body=body)
        assert last["layer"]["kind"] == "node"
        assert bytes.fromhex(last["inner"]) == request
        sealed = call(testee, "onion.seal_reply", reply_key=last["reply_key"], status=421, body={"t": 5})
        opened = call(testee, "onion.open_reply", reply_key=built["reply_key"], reply=sealed["reply"])
        assert opened["status"] == 421
        assert json.loads(bytes.fromhex(opened["body"])) == {"t": 5}
        raw = base64.b64decode(bytes.fromhex(sealed["reply"]))
        assert call(testee, "onion.open_reply", reply_key=built["reply_key"], reply=raw.hex()) == opened

    def test_a_server_layer_names_the_server(self, testee: ReferenceTestee) -> None:
        built = call(
            testee,
            "onion.build",
            path=[self.keys(self.NODES[0])],
            destination={"kind": "server", "host": "x.example", "protocol": "http", "x25519_pk": SERVER},
            payload="00",
            enc_type="aes-gcm",
        )
        peeled = call(testee, "onion.peel", node_x25519_sk=self.NODES[0].x25519_sk.hex(), body=built["body"])
        assert peeled["layer"] == {
            "kind": "server",
            "host": "x.example",
            "port": 80,
            "protocol": "http",
            "target": "/oxen/v4/lsrpc",
        }

    def test_given_secrets_make_requests_repeatable_up_to_the_nonces(self, testee: ReferenceTestee) -> None:
        params = {
            "path": [self.keys(node) for node in self.NODES[:3]],
            "destination": {"kind": "node", **self.keys(self.NODES[3])},
            "payload": "7b7d",
            "enc_type": "aes-gcm",
            "ephemeral_seeds": [f"b{number}" * 32 for number in range(4)],
        }
        first, second = (call(testee, "onion.build", **params) for _ in range(2))
        assert first["reply_key"] == second["reply_key"]

    @pytest.mark.parametrize(
        ("op", "params"),
        [
            ("onion.open_reply", {"reply_key": "nonsense", "reply": ""}),
            ("onion.open_reply", {"reply_key": "node:aes-gcm:" + "00" * 32, "reply": "00"}),
            ("onion.peel", {"node_x25519_sk": "11" * 32, "body": "00"}),
            ("onion.build", {"path": [5], "destination": {}, "payload": "", "enc_type": "aes-gcm"}),
            (
                "onion.build",
                {"path": [], "destination": {"kind": "moon"}, "payload": "", "enc_type": "aes-gcm"},
            ),
            ("onion.build", {"path": [], "destination": {}, "payload": "", "enc_type": "rot13"}),
        ],
    )
    def test_bad_input_is_refused(self, testee: ReferenceTestee, op: str, params: dict[str, Any]) -> None:
        refusal(testee, op, **params)


class TestCommunity:
    @pytest.mark.parametrize("blinded", [True, False])
    def test_messages_are_signed_by_their_poster(self, testee: ReferenceTestee, blinded: bool) -> None:
        posted = call(
            testee,
            "community.encode_message",
            seed_hex=ALICE.entropy.hex(),
            server_pk=SERVER,
            content={"kind": "text", "body": "hi", "timestamp_ms": 5},
            blinded=blinded,
        )
        own = call(testee, "blind15.key", seed_hex=ALICE.entropy.hex(), server_pk=SERVER)["blinded_id"]
        for poster, valid in ((own if blinded else ALICE.account_id, True), (BOB.account_id, False)):
            read = call(testee, "community.decode_message", poster_id=poster, **posted)
            assert read["signature_valid"] is valid
            assert read["content"]["body"] == "hi"

    @pytest.mark.parametrize("version", ["15", "25"])
    def test_blinded_ids_belong_to_accounts(self, testee: ReferenceTestee, version: str) -> None:
        own = call(testee, f"blind{version}.key", seed_hex=ALICE.entropy.hex(), server_pk=SERVER)
        found = call(testee, f"blind{version}.id", session_id=ALICE.account_id, server_pk=SERVER)
        assert own["blinded_id"] in (found["ids"] if version == "15" else [found["id"]])
        for account, match in ((ALICE, True), (BOB, False)):
            assert call(
                testee,
                "blinded.match",
                session_id=account.account_id,
                blinded_id=own["blinded_id"],
                server_pk=SERVER,
            ) == {"match": match}
        signed = call(
            testee, f"blind{version}.sign", seed_hex=ALICE.entropy.hex(), server_pk=SERVER, message_hex="00"
        )
        assert own["blinded_id"] == version + signed["verify_key"]

    def test_blinded_messages_reveal_the_sender_to_the_recipient(self, testee: ReferenceTestee) -> None:
        ids = {
            account.account_id: call(testee, "blind15.key", seed_hex=account.entropy.hex(), server_pk=SERVER)[
                "blinded_id"
            ]
            for account in (ALICE, BOB)
        }
        ciphertext = call(
            testee,
            "blinded_dm.encrypt",
            sender_seed=ALICE.entropy.hex(),
            server_pk=SERVER,
            recipient_blinded_id=ids[BOB.account_id],
            message_hex="abcd",
        )["ciphertext"]
        assert call(
            testee,
            "blinded_dm.decrypt",
            recipient_seed=BOB.entropy.hex(),
            server_pk=SERVER,
            sender_blinded_id=ids[ALICE.account_id],
            recipient_blinded_id=ids[BOB.account_id],
            ciphertext=ciphertext,
        ) == {"message_hex": "abcd", "sender_session_id": ALICE.account_id}

    def test_requests_carry_four_headers(self, testee: ReferenceTestee) -> None:
        headers = call(
            testee,
            "sogs.auth_headers",
            seed_hex=ALICE.entropy.hex(),
            server_pk=SERVER,
            nonce_hex="00" * 16,
            timestamp_s=1_700_000_000,
            method="GET",
            path="/capabilities",
            mode="unblinded",
        )
        assert headers["X-SOGS-Pubkey"] == "00" + ALICE.ed25519_pk.hex()
        assert headers["X-SOGS-Timestamp"] == "1700000000"


class TestAttachments:
    def test_legacy_attachments_come_back(self, testee: ReferenceTestee) -> None:
        made = call(testee, "attachment.encrypt_legacy", data_hex="aa" * 600)
        pointer = {
            "blob_hex": made["blob_hex"],
            "key64": made["key64"],
            "digest": made["digest_sha256"],
            "size": made["size"],
        }
        assert call(testee, "attachment.decrypt_legacy", **pointer) == {"data_hex": "aa" * 600}
        assert (
            refusal(testee, "attachment.decrypt_legacy", **(pointer | {"digest": "00" * 32})) == "bad_format"
        )

    def test_streams_and_pictures_come_back(self, testee: ReferenceTestee) -> None:
        made = call(
            testee,
            "attachment.encrypt",
            seed_hex=ALICE.entropy.hex() + "00" * 16,
            data_hex="bb" * 50,
            domain="attachment",
        )
        assert call(testee, "attachment.decrypt", **made) == {"data_hex": "bb" * 50}
        picture = call(testee, "profile_pic.encrypt_legacy", data_hex="cc" * 9, key32="01" * 32)
        assert call(testee, "profile_pic.decrypt_legacy", key32="01" * 32, **picture) == {
            "data_hex": "cc" * 9
        }

    @pytest.mark.parametrize(("size", "padded"), [(1, 541), (542, 568), (1_000_000, 1_041_743)])
    def test_padded_sizes(self, testee: ReferenceTestee, size: int, padded: int) -> None:
        assert call(testee, "attachment.legacy_padded_size", size=size) == {"padded": padded}


class TestStatefulOperationsWithoutNetwork:
    @pytest.mark.parametrize("op", ["client.send", "client.poll", "client.state", "client.close"])
    def test_a_client_has_to_be_created_first(self, testee: ReferenceTestee, op: str) -> None:
        params = {"to": ALICE.account_id, "content": {"kind": "text"}}
        reply = testee.handle({"id": 1, "op": op, "account": "nobody", "params": params})
        assert reply["error"]["code"] == "not_found"
        testee.handle({"id": 2, "op": "bye"})

    def test_an_account_is_needed(self, testee: ReferenceTestee) -> None:
        assert refusal(testee, "client.poll") == "invalid_argument"

    def test_a_network_that_is_not_there_is_reported_in_time(self, testee: ReferenceTestee) -> None:
        started = time.monotonic()
        reply = testee.handle(
            {
                "id": 1,
                "op": "client.create",
                "account": "alice",
                "params": {
                    "seed_hex": ALICE.entropy.hex(),
                    "network": {"seed_urls": ["http://127.0.0.1:1"]},
                },
            }
        )
        assert reply["error"]["kind"] == "rejected"
        assert reply["error"]["code"] == "network_error"
        assert "http://127.0.0.1:1" in reply["error"]["data"]["seeds"]
        assert time.monotonic() - started < 5
        testee.handle({"id": 2, "op": "bye"})


class TestProcess:
    def test_speaks_the_contract_over_a_pipe(self) -> None:
        requests = [
            {"id": 1, "op": "hello", "params": {"contract": [1], "harness": "test", "seed": 7}},
            {"id": 2, "op": "padding.pad", "params": {"message_hex": ""}},
            {"id": 3, "op": "bye", "params": {}},
        ]
        done = subprocess.run(
            [sys.executable, "-m", "session_conformance.testees.reference"],
            input="".join(json.dumps(request) + "\n" for request in requests).encode(),
            capture_output=True,
            timeout=30,
            check=True,
        )
        replies = [json.loads(line) for line in done.stdout.splitlines()]
        assert [reply["id"] for reply in replies] == [1, 2, 3]
        assert replies[0]["result"]["name"] == "reference"
        assert replies[1]["result"]["padded_hex"] == "80" + "00" * 159

    def test_starts_without_the_network_code(self) -> None:
        program = (
            "import sys; from session_conformance.testees.reference import ReferenceTestee;"
            " ReferenceTestee().handle({'id': 1, 'op': 'hello'});"
            " heavy = {'aiohttp', 'session_testnet', 'hypothesis', 'pytest'} & set(sys.modules);"
            " sys.exit(f'imported {heavy}' if heavy else 0)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr.decode()
