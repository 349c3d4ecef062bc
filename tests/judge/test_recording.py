"""The stream of a run and the folders of its cases."""

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from session_conformance.contract import Exchange, Hello
from session_conformance.recording.cases import Evidence, case_name, transcript, write_case
from session_conformance.recording.stream import (
    Header,
    StreamError,
    StreamWriter,
    TesteeLine,
    footer_of,
    line_schema,
    read_report,
    record_of,
    verdict_line,
)
from session_conformance.verdicts import CheckRecord, ExitCode, Level, Reason, RunEnd, Verdict

HEADER = Header(
    run="r1",
    seed="7",
    engine="embedded",
    started="2026-01-02T03:04:05Z",
    harness="session-harness/0.1.0",
    python="3.11.7",
    platform="Linux x86_64",
    max_examples=100,
    nodes=14,
    peer="reference",
    testees=({"name": "mini", "spec": "cmd:mini"},),
    filters=("a.*",),
)
HELLO = Hello("mini", "1.0", "c", frozenset({"padding.pad"}))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some_record = st.builds(
    CheckRecord,
    check=texts.filter(bool),
    testee=texts,
    verdict=st.sampled_from(Verdict),
    level=st.sampled_from(Level),
    requirements=st.lists(texts, max_size=3).map(tuple),
    tier=st.sampled_from(["L0", "L3", "L6"]),
    suite=texts,
    sentence=texts,
    seconds=st.floats(0, 1e6),
    message=texts,
    peer=texts,
    reason=st.sampled_from(Reason),
    attempts=st.integers(0, 3),
    expectation=texts,
    link=texts,
    case=texts,
    replay=texts,
)


def write(path: Path, records: list[CheckRecord], *, footer: bool = True) -> Path:
    with StreamWriter(path) as writer:
        writer.header(HEADER)
        writer.plan(len(records))
        writer.note("mini: building its environment")
        writer.testee(TesteeLine.of("mini", "cmd:mini", HELLO))
        for record in records:
            writer.verdict(record)
        if footer:
            writer.footer(
                footer_of(records, end=RunEnd.COMPLETE.value, exit_code=ExitCode.FAILED, seconds=1.23456)
            )
    return path


RECORDS = [
    CheckRecord("a.b", "mini", Verdict.PASSED, requirements=("X-01",), seconds=0.5),
    CheckRecord("a.c", "mini", Verdict.FAILED, message="ü\n€", case="cases/x", replay="session-harness …"),
]


def test_every_line_keeps_to_its_schema(tmp_path: Path) -> None:
    Draft202012Validator.check_schema(line_schema())
    validator = Draft202012Validator(line_schema())
    lines = [
        orjson.loads(line) for line in write(tmp_path / "report.jsonl", RECORDS).read_bytes().splitlines()
    ]
    assert [line["type"] for line in lines] == [
        "header", "plan", "note", "testee", "verdict", "verdict", "footer"
    ]  # fmt: skip
    for line in lines:
        validator.validate(line)


@given(some_record)
def test_a_record_survives_its_line(record: CheckRecord) -> None:
    line = orjson.loads(orjson.dumps(verdict_line(record)))
    assert record_of(line) == record
    Draft202012Validator(line_schema()).validate(line)


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "fine"},
        {"level": "MAY"},
        {"seconds": -1},
        {"tier": "L7"},
        {"requirements": "X-01"},
        {"type": "judgement"},
        {"message": None},
    ],
)
def test_the_schema_refuses_other_lines(change: dict[str, Any]) -> None:
    line = orjson.loads(orjson.dumps({**verdict_line(RECORDS[0]), **change}))
    assert not Draft202012Validator(line_schema()).is_valid(line)


def test_a_report_is_read_back(tmp_path: Path) -> None:
    report = read_report(write(tmp_path / "report.jsonl", RECORDS))
    assert report.records == tuple(RECORDS)
    assert report.header["seed"] == "7"
    assert report.planned == 2
    assert report.testees[0]["hello"]["operations"] == ["padding.pad"]
    assert report.footer is not None
    assert report.footer["exit"] == 1
    assert report.footer["counts"]["failed"] == 1
    assert sum(report.footer["counts"].values()) == 2
    assert report.footer["seconds"] == 1.235


def test_a_killed_run_is_read_as_far_as_it_came(tmp_path: Path) -> None:
    path = write(tmp_path / "report.jsonl", RECORDS, footer=False)
    path.write_bytes(path.read_bytes()[:-40])
    report = read_report(path)
    assert report.records == (RECORDS[0],)
    assert report.footer is None


def test_lines_reach_the_file_at_once(tmp_path: Path) -> None:
    writer = StreamWriter(tmp_path / "report.jsonl")
    writer.header(HEADER)
    assert read_report(tmp_path / "report.jsonl").header["run"] == "r1"
    writer.close()


def test_a_newer_report_may_have_more(tmp_path: Path) -> None:
    path = write(tmp_path / "report.jsonl", [])
    line = {**verdict_line(RECORDS[0]), "colour": "red"}
    path.write_bytes(path.read_bytes() + orjson.dumps(line) + b'\n{"type": "weather"}\n')
    assert read_report(path).records == (RECORDS[0],)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no header of schema 1"),
        (b'{"type": "header", "schema": 9}\n', "no header of schema 1"),
        (b"not json\n", "report.jsonl:1: not JSON"),
        (b"[]\n", "report.jsonl:1: not an object with a type"),
        (b'{"type": "verdict", "check": "a"}\n', "lacks, or garbles, a field: 'verdict'"),
        (b'{"type": "plan"}\n', "lacks, or garbles, a field: 'checks'"),
    ],
)
def test_what_is_no_report_is_refused(content: bytes, text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.jsonl"
    path.write_bytes(content)
    with pytest.raises(StreamError, match=text):
        read_report(path)


def test_a_report_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=r"cannot read .*nothing.jsonl: No such file"):
        read_report(tmp_path / "nothing.jsonl")


# Cases.


def exchange(at_s: float, number: int, reply: bytes = b"{}") -> Exchange:
    return Exchange(at_s, 0.001, orjson.dumps({"id": number}), reply)


def test_a_transcript_tells_the_order_of_time() -> None:
    lines = transcript(
        {"mini": [exchange(10.0, 1), exchange(12.0, 3, b"")], "the peer x": [exchange(11.0, 2)]}
    )
    parsed = [orjson.loads(line) for line in lines.splitlines()]
    assert [(line["testee"], line["request"]["id"], line["t_ms"]) for line in parsed] == [
        ("mini", 1, 0.0),
        ("the peer x", 2, 1000.0),
        ("mini", 3, 2000.0),
    ]
    assert parsed[2]["reply"] is None
    assert transcript({}) == b""


def test_a_case_folder_has_all_that_was_seen(tmp_path: Path) -> None:
    evidence = Evidence(
        "assert 1 == 2\n",
        {"mini": [exchange(1.0, 1)]},
        {"mini": "warning: x\n", "the peer x": ""},
        ["the size was 7"],
    )
    folder = write_case(tmp_path, "a.b--mini", evidence, replay=["echo", "a b", "$HOME"], directory=tmp_path)
    assert folder == "cases/a.b--mini"
    files = {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}
    assert set(files) == {"transcript.jsonl", "stderr.log", "failure.txt", "replay.sh"}
    assert files["failure.txt"] == (
        "assert 1 == 2\n\nNotes of the check:\n  the size was 7\n\nReproduce it:\n  echo 'a b' '$HOME'\n"
    )
    assert files["stderr.log"] == "== mini\nwarning: x\n"
    assert orjson.loads(files["transcript.jsonl"])["request"] == {"id": 1}


def test_a_replay_runs_from_where_the_run_was_started(tmp_path: Path) -> None:
    place = tmp_path / "it's here"
    place.mkdir()
    folder = write_case(
        tmp_path, "x", Evidence("f"), replay=["sh", "-c", 'pwd; echo "$0 $@"', "a b"], directory=place
    )
    script = tmp_path / folder / "replay.sh"
    assert script.stat().st_mode & 0o777 == 0o755
    done = subprocess.run([script, "--more"], capture_output=True, text=True, timeout=10, check=True, cwd="/")
    assert done.stdout.splitlines() == [os.path.realpath(place), "a b --more"]
    assert shlex.split(script.read_text().splitlines()[-1])[0] == "exec"


def test_a_case_may_be_written_again(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_case(tmp_path, "x", Evidence(text), replay=["true"], directory=tmp_path)
    assert (tmp_path / "cases/x/failure.txt").read_text().startswith("second")


def test_odd_text_does_not_stop_the_evidence(tmp_path: Path) -> None:
    write_case(tmp_path, "x", Evidence("lone \udcff surrogate"), replay=["true"], directory=tmp_path)
    assert "lone" in (tmp_path / "cases/x/failure.txt").read_text()


def test_case_names_are_fit_for_folders() -> None:
    assert case_name("onion.builds[aes-gcm]", "mini") == "onion.builds-aes-gcm--mini"
    assert case_name("a.b[x/../y]", "mini") == "a.b-x-..-y--mini"
