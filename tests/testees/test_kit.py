"""The kit: the rules of the contract, in process and over a pipe."""

import ast
import io
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_conformance.testees.kit_python import session_testee_kit as kit
from session_conformance.testees.kit_python.session_testee_kit import (
    MAX_LINE,
    Adapter,
    Params,
    Rejected,
    Unsupported,
    operation,
)

KIT_FILE = Path(kit.__file__)


class LibraryError(Exception):
    """Stands for the exception class of a client library."""


class Sample(Adapter):
    name = "sample"
    version = "2.1"
    features = {"network": "none"}  # noqa: RUF012
    limits = {"max_attachment": 10}  # noqa: RUF012
    rejections = {LibraryError: "decrypt_failed"}  # noqa: RUF012

    @operation("padding.pad")
    def padding_pad(self, params: Params) -> dict[str, Any]:
        return {"padded_hex": params.hex("message_hex") + b"\x80"}

    @operation("session.decrypt")
    def session_decrypt(self, params: Params) -> dict[str, Any]:
        match params.text("how"):
            case "rejected":
                raise Rejected("bad_signature", "not theirs", place=3)
            case "unsupported":
                raise Unsupported("no such variant")
            case "library":
                raise LibraryError("library says no")
            case "crash":
                raise ZeroDivisionError("oops")
            case "exit":
                sys.exit(3)
            case _:
                return {}

    @operation("client.state")
    def client_state(self, params: Params) -> dict[str, Any]:
        return {"account": params.account}


def ask(adapter: Adapter, op: str, **params: Any) -> dict[str, Any]:
    return adapter.handle({"id": 7, "op": op, "params": params})


def serve(adapter: Adapter, *lines: bytes) -> tuple[int, list[dict[str, Any]]]:
    sink = io.BytesIO()
    status = adapter.serve(io.BytesIO(b"".join(lines)), sink)
    return status, [json.loads(line) for line in sink.getvalue().splitlines()]


def line(**request: Any) -> bytes:
    return json.dumps(request).encode() + b"\n"


class TestHello:
    def test_declares_what_is_registered(self) -> None:
        hello = ask(Sample(), "hello", contract=[1], harness="test", seed=5)["result"]
        assert hello["operations"] == ["client.state", "padding.pad", "session.decrypt"]
        assert hello["contract"] == 1
        assert (hello["name"], hello["version"], hello["language"]) == ("sample", "2.1", "python")
        assert hello["features"] == {"network": "none"}
        assert hello["limits"] == {"max_attachment": 10}

    def test_keeps_the_seed(self) -> None:
        adapter = Sample()
        ask(adapter, "hello", contract=[1], seed=41)
        assert adapter.seed == 41

    def test_refuses_a_contract_it_does_not_speak(self) -> None:
        assert ask(Sample(), "hello", contract=[2, 3])["error"]["code"] == "unsupported_version"

    def test_settings_may_be_given_to_the_constructor(self) -> None:
        hello = ask(Sample(name="other", features={"network": "direct"}), "hello")["result"]
        assert (hello["name"], hello["features"]) == ("other", {"network": "direct"})

    def test_an_unknown_setting_is_named(self) -> None:
        with pytest.raises(TypeError, match=r"no setting 'feature'.*features"):
            Sample(feature={})


class TestRegistration:
    def test_functions_need_no_class(self) -> None:
        adapter = Adapter(name="functions")

        @adapter.operation("padding.unpad")
        def unpad(params: Params) -> dict[str, Any]:
            return {"message_hex": params.hex("padded_hex").rstrip(b"\0")[:-1]}

        assert adapter.operations == ["padding.unpad"]
        assert ask(adapter, "padding.unpad", padded_hex="618000")["result"] == {"message_hex": "61"}

    def test_a_subclass_overrides_by_the_method_name(self) -> None:
        class Broken(Sample):
            def padding_pad(self, params: Params) -> dict[str, Any]:
                return super().padding_pad(params.changed(message_hex="ff"))

        assert ask(Broken(), "padding.pad", message_hex="00")["result"] == {"padded_hex": "ff80"}

    def test_a_subclass_may_call_super_with_a_plain_dict(self) -> None:
        class Broken(Sample):
            def padding_pad(self, params: Any) -> dict[str, Any]:
                return super().padding_pad({**params, "message_hex": "ee"})  # type: ignore[arg-type]

        assert ask(Broken(), "padding.pad", message_hex="00")["result"] == {"padded_hex": "ee80"}

    def test_a_subclass_may_withdraw_an_operation(self) -> None:
        class Smaller(Sample):
            padding_pad = None  # type: ignore[assignment]

        assert "padding.pad" not in Smaller().operations
        assert ask(Smaller(), "padding.pad")["error"]["kind"] == "unsupported"


class TestReplies:
    def test_bytes_become_hex(self) -> None:
        assert ask(Sample(), "padding.pad", message_hex="AB")["result"] == {"padded_hex": "ab80"}

    @pytest.mark.parametrize(
        ("how", "kind", "code", "message"),
        [
            ("rejected", "rejected", "bad_signature", "not theirs"),
            ("unsupported", "unsupported", "unsupported", "no such variant"),
            ("library", "rejected", "decrypt_failed", "library says no"),
            ("crash", "adapter", "internal", "ZeroDivisionError: oops"),
            ("exit", "adapter", "internal", "SystemExit: 3"),
        ],
    )
    def test_exceptions_become_errors(self, how: str, kind: str, code: str, message: str) -> None:
        error = ask(Sample(), "session.decrypt", how=how)["error"]
        assert (error["kind"], error["code"], error["message"]) == (kind, code, message)

    def test_a_rejection_carries_data(self) -> None:
        assert ask(Sample(), "session.decrypt", how="rejected")["error"]["data"] == {"place": 3}

    def test_a_fault_carries_its_traceback(self) -> None:
        trace = ask(Sample(), "session.decrypt", how="crash")["error"]["data"]["traceback"]
        assert "session_decrypt" in trace
        assert "ZeroDivisionError" in trace

    def test_a_broken_translate_is_a_fault_that_shows_both(self) -> None:
        class Careless(Sample):
            def translate(self, error: BaseException) -> BaseException:
                raise KeyError("translate")

        error = ask(Careless(), "session.decrypt", how="crash")["error"]
        assert error["kind"] == "adapter"
        assert "KeyError" in error["data"]["traceback"]
        assert "ZeroDivisionError" in error["data"]["traceback"]

    def test_an_unknown_operation_is_unsupported(self) -> None:
        assert ask(Sample(), "group.rekey")["error"]["kind"] == "unsupported"

    @pytest.mark.parametrize("id_", [7, "seven", None, [1, {"a": 2}]])
    def test_the_id_is_echoed(self, id_: Any) -> None:
        assert Sample().handle({"id": id_, "op": "reset"}) == {"id": id_, "result": {}}

    def test_the_account_reaches_the_operation(self) -> None:
        reply = Sample().handle({"id": 1, "op": "client.state", "account": "alice", "params": {}})
        assert reply["result"] == {"account": "alice"}

    @pytest.mark.parametrize("result", [{"x": {1, 2}}, {"x": float("nan")}, {5: 6}, ["list"], "text"])
    def test_what_json_cannot_carry_is_a_fault(self, result: Any) -> None:
        adapter = Adapter()
        adapter.operation("padding.pad")(lambda params: result)
        assert ask(adapter, "padding.pad")["error"]["kind"] == "adapter"

    def test_params_must_be_an_object(self) -> None:
        reply = Sample().handle({"id": 1, "op": "padding.pad", "params": [1]})
        assert reply["error"]["code"] == "invalid_argument"

    @settings(deadline=None, derandomize=True)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        )
    )
    def test_every_plain_result_survives_the_wire(self, value: Any) -> None:
        def wire(item: Any) -> Any:
            if isinstance(item, bytes):
                return item.hex()
            if isinstance(item, list):
                return [wire(one) for one in item]
            return {key: wire(one) for key, one in item.items()} if isinstance(item, dict) else item

        adapter = Adapter()
        adapter.operation("padding.pad")(lambda params: {"value": value})
        _, replies = serve(adapter, line(id=1, op="padding.pad"))
        assert replies == [{"id": 1, "result": {"value": wire(value)}}]


class TestParams:
    @pytest.mark.parametrize(
        ("reader", "value", "code"),
        [
            ("hex", "xy", "invalid_argument"),
            ("hex", 5, "invalid_argument"),
            ("text", 5, "invalid_argument"),
            ("integer", True, "invalid_argument"),
            ("integer", "5", "invalid_argument"),
            ("flag", 1, "invalid_argument"),
            ("array", {}, "invalid_argument"),
            ("mapping", [], "invalid_argument"),
            ("text", None, "invalid_argument"),
        ],
    )
    def test_refuses_what_is_not_meant(self, reader: str, value: Any, code: str) -> None:
        with pytest.raises(Rejected) as caught:
            getattr(Params({"field": value}), reader)("field")
        assert caught.value.code == code
        assert "field" in caught.value.message

    def test_checks_a_length(self) -> None:
        with pytest.raises(Rejected, match="has 2 bytes, needs 32") as caught:
            Params({"key": "abcd"}).hex("key", length=32)
        assert caught.value.code == "invalid_length"

    def test_defaults_stand_for_missing_and_null(self) -> None:
        assert Params({"a": None}).hex("a", b"x") == b"x"
        assert Params({}).integer("a", 0) == 0

    def test_a_change_leaves_the_original(self) -> None:
        before = Params({"a": 1}, "alice")
        after = before.changed(b=2)
        assert (before, after, after.account) == ({"a": 1}, {"a": 1, "b": 2}, "alice")


class TestServing:
    def test_answers_line_by_line_until_bye(self) -> None:
        status, replies = serve(
            Sample(),
            line(id=1, op="padding.pad", params={"message_hex": ""}),
            b"\n",
            line(id=2, op="bye"),
            line(id=3, op="hello"),
        )
        assert status == 0
        assert replies == [{"id": 1, "result": {"padded_hex": "80"}}, {"id": 2, "result": {}}]

    def test_closes_at_the_end_of_the_input_and_at_bye(self) -> None:
        closed = []

        class Closing(Sample):
            def on_close(self) -> None:
                closed.append(True)

        serve(Closing(), line(id=1, op="reset"))
        serve(Closing(), line(id=1, op="bye"))
        assert closed == [True, True]

    @pytest.mark.parametrize("broken", [b"{nonsense\n", b"[1]\n", b"\xff\xfe\n", b"5\n"])
    def test_survives_a_broken_line(self, broken: bytes) -> None:
        _, replies = serve(Sample(), broken, line(id=2, op="reset"))
        assert replies[0]["id"] is None
        assert replies[0]["error"]["kind"] == "adapter"
        assert replies[1] == {"id": 2, "result": {}}

    def test_survives_a_line_over_the_limit(self) -> None:
        _, replies = serve(Sample(), b"x" * (MAX_LINE + 5) + b"\n", line(id=2, op="reset"))
        assert "longer than" in replies[0]["error"]["message"]
        assert replies[1] == {"id": 2, "result": {}}

    def test_takes_the_longest_line_that_is_allowed(self) -> None:
        frame = line(id=1, op="padding.pad", params={"message_hex": "", "filler": ""})
        request = line(
            id=1, op="padding.pad", params={"message_hex": "", "filler": "x" * (MAX_LINE - len(frame))}
        )
        assert len(request) == MAX_LINE
        _, replies = serve(Sample(), request)
        assert replies[0]["result"] == {"padded_hex": "80"}

    def test_a_reply_over_the_limit_is_a_fault(self) -> None:
        adapter = Adapter()
        adapter.operation("padding.pad")(lambda params: {"padded_hex": bytes(MAX_LINE // 2)})
        _, replies = serve(adapter, line(id=9, op="padding.pad"))
        assert replies[0]["id"] == 9
        assert (replies[0]["error"]["kind"], replies[0]["error"]["code"]) == ("adapter", "too_large")

    def test_writes_lone_surrogates_as_valid_utf8(self) -> None:
        adapter = Adapter()
        adapter.operation("padding.pad")(lambda params: {"text": "\ud800"})
        sink = io.BytesIO()
        adapter.serve(io.BytesIO(line(id=1, op="padding.pad")), sink)
        assert json.loads(sink.getvalue().decode("utf-8"))["result"]["text"] == "\ud800"

    def test_events_stand_between_replies(self) -> None:
        adapter = Adapter()

        @adapter.operation("client.poll")
        def poll(params: Params) -> dict[str, Any]:
            adapter.emit("message", {"body": b"\x01"}, params.account)
            adapter.log("info", "polled")
            return {}

        _, lines = serve(adapter, line(id=1, op="client.poll", account="bob"))
        assert lines == [
            {"event": "message", "account": "bob", "data": {"body": "01"}},
            {"event": "log", "level": "info", "message": "polled"},
            {"id": 1, "result": {}},
        ]

    def test_events_reach_a_listener_in_process(self) -> None:
        heard: list[dict[str, Any]] = []
        adapter = Adapter()
        adapter.on_event = heard.append
        adapter.emit("typing", {"started": True}, "alice")
        assert heard == [{"event": "typing", "account": "alice", "data": {"started": True}}]


CHATTY = """
import os, sys
sys.path.insert(0, {folder!r})
from session_testee_kit import Adapter, operation

class Chatty(Adapter):
    name = "chatty"

    @operation("padding.pad")
    def padding_pad(self, params):
        print("a stray line")
        os.write(1, b"a line from C\\n")
        os.system("echo a line of a child")
        return {{"padded_hex": params.hex("message_hex")}}

sys.exit(Chatty().serve())
"""


def run(
    source: str, requests: bytes, *, python: str = sys.executable, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    program = textwrap.dedent(source).format(folder=str(KIT_FILE.parent))
    return subprocess.run(
        [python, "-c", program], input=requests, capture_output=True, timeout=30, check=False, env=env
    )


class TestProcess:
    def test_stdout_carries_replies_only(self) -> None:
        done = run(CHATTY, line(id=1, op="padding.pad", params={"message_hex": "ab"}) + line(id=2, op="bye"))
        assert [json.loads(text) for text in done.stdout.splitlines()] == [
            {"id": 1, "result": {"padded_hex": "ab"}},
            {"id": 2, "result": {}},
        ]
        assert done.returncode == 0
        for stray in (b"a stray line", b"a line from C", b"a line of a child"):
            assert stray in done.stderr

    def test_each_reply_is_flushed(self) -> None:
        program = textwrap.dedent(CHATTY).format(folder=str(KIT_FILE.parent))
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as process:
            assert process.stdin
            assert process.stdout
            for number in range(3):
                process.stdin.write(line(id=number, op="reset"))
                process.stdin.flush()
                assert json.loads(process.stdout.readline())["id"] == number
            process.stdin.close()
            assert process.wait(timeout=10) == 0

    def test_ends_with_the_input(self) -> None:
        assert run(CHATTY, b"").returncode == 0


class TestPortability:
    def test_is_one_file_of_python_3_8_and_its_standard_library(self) -> None:
        tree = ast.parse(KIT_FILE.read_text(encoding="utf-8"), feature_version=(3, 8))
        imported = {
            name.split(".")[0]
            for node in ast.walk(tree)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert imported <= sys.stdlib_module_names


class TestTemplate:
    def test_derives_an_account_and_is_honest_about_the_rest(self) -> None:
        adapter = KIT_FILE.parent.parent / "template" / "adapter.py"
        requests = (
            line(id=1, op="hello", params={"contract": [1], "harness": "test", "seed": 1})
            + line(id=2, op="identity.derive", params={"seed_hex": "dc040000" * 4})
            + line(id=3, op="identity.derive", params={"seed_hex": "00"})
            + line(id=4, op="session.decrypt", params={})
            + line(id=5, op="bye")
        )
        done = subprocess.run(
            [sys.executable, str(adapter)], input=requests, capture_output=True, timeout=30, check=True
        )
        replies = [json.loads(text) for text in done.stdout.splitlines()]
        assert replies[0]["result"]["operations"] == ["identity.derive"]
        # The published account of the word "session" thirteen times (real-clients §0).
        assert (
            replies[1]["result"]["session_id"]
            == "0512742fb4ac033a8a33f5776aa0e7e88f35f7af9f65dee31e57fbc7d6f8664b12"
        )
        assert replies[2]["error"]["code"] == "invalid_length"
        assert replies[3]["error"]["kind"] == "unsupported"
        assert replies[4] == {"id": 5, "result": {}}
