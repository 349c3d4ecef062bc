"""What goes into the container image: a wheel of the running package, and wheels for the base's Python."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_testnet.images.base import read_base
from session_testnet.images.wheel import content_hash, write_wheel


def test_the_wheel_is_the_running_package_and_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    wheel, again = write_wheel(tmp_path), write_wheel(tmp_path / "again")
    assert wheel.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert "session_testnet/images/Dockerfile" in names
        assert "session_harness/cli/root.py" in names
        assert not [name for name in names if "__pycache__" in name]
        record = next(name for name in names if name.endswith(".dist-info/RECORD"))
        listed = [line.split(",")[0] for line in archive.read(record).decode().splitlines()]
        assert listed == names


def test_pip_installs_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("pip")
    target = tmp_path / "target"
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    wheel = str(write_wheel(tmp_path))
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), wheel]
    subprocess.run(command, check=True, timeout=60)
    script = "import sys; sys.path.insert(0, sys.argv[1]); import session_testnet as s; print(s.__file__)"
    command = [sys.executable, "-I", "-c", script, str(target)]
    said = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
    assert said.startswith(str(target))


def test_the_hash_follows_the_code_of_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "code_of_nodes"
    package.mkdir()
    (package / "__init__.py").write_text("one = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("session_testnet.images.wheel._OF_NODES", ("code_of_nodes",))
    before = content_hash()
    assert before == content_hash()
    (package / "__init__.py").write_text("one = 2")
    changed = content_hash()
    (package / "data.json").write_text("{}")
    assert len({before, changed, content_hash()}) == 3


@given(st.integers(11, 30), st.sampled_from(["x86_64", "aarch64"]), st.integers(17, 60))
def test_pip_is_asked_for_all_that_fits_the_base_and_nothing_newer(
    minor: int, machine: str, glibc: int
) -> None:
    base = read_base({"version": [3, minor], "machine": machine, "libc": ["glibc", f"2.{glibc}"]})
    words = base.pip_arguments()
    assert words[words.index("--python-version") + 1] == f"3.{minor}"
    tags = base.platforms()
    assert tags[0] == f"manylinux_2_{glibc}_{machine}"
    assert f"manylinux2014_{machine}" in tags
    assert not [tag for tag in tags if tag == f"manylinux_2_{glibc + 1}_{machine}"]
    assert len(set(tags)) == len(tags)


def test_a_base_with_musl_gets_wheels_for_musl() -> None:
    base = read_base({"version": [3, 12], "machine": "x86_64", "libc": ["", ""]})
    assert base.platforms() == ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64"]


@pytest.mark.parametrize("version", [[3, 10], [2, 7]])
def test_a_base_with_an_old_python_is_refused(version: list[int]) -> None:
    with pytest.raises(ValueError, match="old"):
        read_base({"version": version, "machine": "x86_64", "libc": ["glibc", "2.36"]})
