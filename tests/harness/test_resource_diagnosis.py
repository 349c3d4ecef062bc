"""What doctor says of libsodium, OMQ, ports, disk space, clock and browser, on machines good and bad."""

import shutil
import socket
import time
from types import SimpleNamespace

import pytest

from session_harness import resource_diagnosis
from session_harness.diagnosis import Finding, Weight, examine
from session_harness.resource_diagnosis import examine_resources


def finding(subject: str) -> Finding:
    (found,) = (each for each in examine_resources() if each.subject == subject)
    return found


def test_every_subject_has_one_line() -> None:
    subjects = [each.subject for each in examine()]
    assert {"libsodium", "OMQ", "ports", "disk", "clock", "Chromium"} <= set(subjects)
    assert len(set(subjects)) == len(subjects)
    for each in examine():
        assert "\n" not in each.text


def test_what_the_tests_stand_on_is_found() -> None:
    assert all(finding(subject).fine for subject in ("libsodium", "OMQ", "clock"))


def test_a_taken_port_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(resource_diagnosis, "REGISTRY_PORT", taken.getsockname()[1])
        found = finding("ports")
    assert (found.fine, found.weight) == (False, Weight.OPTIONAL)
    assert f"{resource_diagnosis.REGISTRY_PORT} is taken; mend: " in found.text
    assert finding("ports").fine


def test_a_full_disk_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7 << 20))
    found = finding("disk")
    assert found.is_fatal
    assert found.text.startswith("7 MiB free in ")
    assert "mend: " in found.text


def test_a_clock_that_was_never_set_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 3600.0)
    assert finding("clock").is_fatal
    assert finding("clock").text.startswith("1970-01-01 01:00 UTC is past; mend: ")


def test_a_missing_browser_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    found = finding("Chromium")
    assert (found.fine, found.is_fatal) == (False, False)
    assert found.text.endswith("mend: apt install chromium")


def test_zeromq_without_curve_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    zmq = pytest.importorskip("zmq")
    monkeypatch.setattr(zmq, "has", lambda _: False)
    assert "has no CURVE; mend: " in finding("OMQ").text
