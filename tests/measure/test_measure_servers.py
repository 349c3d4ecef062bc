"""The servers are measured, and only what they answer rightly; the numbers are not judged."""

import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from session_protocol import onion
from session_protocol.accounts import Account

CI = Path(__file__).parents[2] / "ci"
TINY = ("--rounds", "1", "--requests", "10", "--connections", "2")
MESSAGE, POLL, FILE = 320, 3200, 1 << 20

# The measured process reads its memory there.
pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="reads Linux's /proc")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    file = tmp_path_factory.mktemp("measure") / "numbers.json"
    done = subprocess.run(
        [sys.executable, str(CI / "measure-servers"), *TINY, "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CI))


def test_every_load_has_its_row(run: tuple[dict[str, Any], str]) -> None:
    rows = {(row["name"], row["bytes"]) for row in run[0]["throughput"]}
    assert rows == {
        *((f"post, {where}", MESSAGE) for where in ("in memory", "on disk")),
        *((f"poll, {way}", POLL) for way in ("in memory", "on disk", "3 relays")),
        *((f"upload, {way}", FILE) for way in ("in memory", "on disk", "3 relays")),
        *((f"download, {way}", FILE) for way in ("in memory", "on disk", "3 relays")),
    }


def test_numbers_fit_each_other(run: tuple[dict[str, Any], str]) -> None:
    for row in run[0]["throughput"]:
        assert row["per_second_best"] >= row["per_second_median"] > 0
        assert row["p99_ms"] >= row["p50_ms"] > 0
        assert row["loaded_p99_ms"] >= row["loaded_p50_ms"] > 0
        moved = row["megabytes_per_second"]
        if row["bytes"] == FILE:
            assert moved == pytest.approx(row["per_second_best"] * FILE / 1e6)
        else:
            assert moved is None
    assert len(run[0]["machine_load"]) == 3


def test_text_shows_what_the_file_has(run: tuple[dict[str, Any], str]) -> None:
    numbers, text = run
    for row in numbers["throughput"]:
        assert row["name"] in text
    assert f"{numbers['machine_load'][0]:.2f}" in text


@pytest.mark.usefixtures("importable")
class TestWrongAnswers:
    """What is fast and wrong is not measured."""

    def test_a_poll_that_finds_less_or_is_refused(self) -> None:
        from testnet_measurements.load import LoadFailed
        from testnet_measurements.server_workloads import check_poll

        def answers(*codes: int, found: int = 10) -> bytes:
            return json.dumps([{"code": code, "body": [{}] * found} for code in codes]).encode()

        check_poll(0, answers(200, 200, 200, 304, 304))
        with pytest.raises(LoadFailed, match="9 messages instead of 10"):
            check_poll(0, answers(200, 200, 200, 304, 304, found=9))
        with pytest.raises(LoadFailed, match="403"):
            check_poll(0, answers(200, 200, 403, 304, 304))

    def test_a_post_or_a_file_that_comes_back_changed(self) -> None:
        from testnet_measurements.load import LoadFailed
        from testnet_measurements.server_process import ServedServer
        from testnet_measurements.server_workloads import check_uploaded, downloaded, posts

        workload = posts(ServedServer("127.0.0.1", 1, bytes(range(32))), 9, 7, random.Random(1))
        assert (len(workload.requests), workload.status) == (7, 201)
        sent = json.loads(workload.requests[6].partition(b"\r\n\r\n")[2])
        workload.check(6, json.dumps({"data": sent["data"]}).encode())
        with pytest.raises(LoadFailed, match="other than it was posted"):
            workload.check(5, json.dumps({"data": sent["data"]}).encode())
        downloaded(b"abc")(0, b"abc")
        with pytest.raises(LoadFailed, match="3 bytes came back as 2"):
            downloaded(b"abc")(0, b"ab")
        check_uploaded(0, b'{"id":"1"}')
        with pytest.raises(LoadFailed, match="answered"):
            check_uploaded(0, b'{"status_code":507}')

    def test_an_onion_with_a_refusal_inside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from testnet_measurements import server_workloads
        from testnet_measurements.load import LoadFailed
        from testnet_measurements.server_process import ServedNode, ServedServer

        keys = [Account.from_seed(bytes([number]) * 32) for number in range(1, 5)]
        nodes = [ServedNode("n", "127.0.0.1", 1, each.ed25519_pk, each.x25519_pk, 0) for each in keys[:3]]
        server = ServedServer("127.0.0.1", 2, keys[3].x25519_pk)
        built: list[onion.BuiltOnion] = []

        def build(*arguments: Any, **options: Any) -> onion.BuiltOnion:
            built.append(onion.build(*arguments, **options))
            return built[-1]

        monkeypatch.setattr(server_workloads, "onion", SimpleNamespace(**vars(onion) | {"build": build}))
        asked = [server_workloads.Question("GET", "/file/1", {}, b"")]
        workload = server_workloads.Relays(nodes, random.Random(1)).through(
            server, asked, server_workloads.downloaded(b"abc")
        )
        assert workload.nodes == (nodes[0],)

        def answer(code: int, body: bytes) -> bytes:
            return onion.seal_reply(built[0].reply_key, onion.encode_v4_response(code, {}, body))

        workload.check(0, answer(200, b"abc"))
        with pytest.raises(LoadFailed, match="3 bytes came back"):
            workload.check(0, answer(200, b"abd"))
        with pytest.raises(LoadFailed, match="answered 404"):
            workload.check(0, answer(404, b"abc"))
