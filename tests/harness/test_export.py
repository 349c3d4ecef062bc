"""A testnet written as a Compose file."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_harness.composing import compose_file
from session_harness.errors import UsageError
from session_harness.serving import ServeOptions

yaml = pytest.importorskip("yaml")


def read(options: ServeOptions, image: str | None = None) -> dict[str, Any]:
    written: dict[str, Any] = yaml.safe_load(compose_file(options, image))
    return written


def test_the_service_runs_the_testnet_that_was_described() -> None:
    service = read(ServeOptions("mine", nodes=5, seed="x"), "some/image:1")["services"]["testnet"]
    assert service["image"] == "some/image:1"
    shell, _, script = service["command"]
    assert shell == "sh"
    words = shlex.split(script.replace("$$", "$"))
    assert words[words.index("--nodes") + 1] == "5"
    assert words[words.index("--seed") + 1] == "x"
    assert words[words.index("--name") + 1] == "mine"


def test_a_topology_is_copied_as_it_is(tmp_path: Path) -> None:
    text = 'name = "t"\nnodes = 3\n[[room]]\ntoken = "kitchen"\nmessages = ["$5: \\"soup\\""]\n'
    (tmp_path / "t.toml").write_text(text)
    written = read(ServeOptions("mine", topology=tmp_path / "t.toml"))
    assert written["configs"]["topology"]["content"].replace("$$", "$") == text
    target = written["services"]["testnet"]["configs"][0]["target"]
    assert f"--topology {target}" in written["services"]["testnet"]["command"][2]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no profile 'wrong'"):
        compose_file(ServeOptions("mine", profile="wrong"), None)


def test_the_command_writes_it_to_stdout() -> None:
    command = [sys.executable, "-m", "session_harness", "export", "--format", "compose", "--nodes", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "--nodes 4" in yaml.safe_load(done.stdout)["services"]["testnet"]["command"][2]


@pytest.mark.docker
def test_its_command_starts_a_testnet_in_the_image(container_image: str) -> None:
    from session_testnet.docker_daemon import connect
    from session_testnet.docker_labels import NetworkLabels

    service = read(ServeOptions("exported", nodes=3))["services"]["testnet"]
    script = service["command"][2].replace("$$", "$")
    check = service["healthcheck"]["test"][1:]
    client = connect()
    labels = NetworkLabels("exported", ttl_s=300).of("testnet")
    container = client.containers.run(
        container_image, [*service["command"][:2], script], labels=labels, detach=True, auto_remove=True
    )
    try:
        written = b""
        for chunk in container.logs(stream=True, follow=True):
            written += chunk
            if b"Press Ctrl-C" in written:
                break
        assert b"registry" in written
        assert container.exec_run(check).exit_code == 0
    finally:
        container.remove(force=True)
        client.close()
