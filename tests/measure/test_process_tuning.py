"""A process is fitted to its network; each test looks at a process of its own."""

import json
import subprocess
import sys
from typing import Any

import pytest

resource = pytest.importorskip("resource")


def run(code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def limits_after(*, soft: int, nodes: int) -> Any:
    return run(
        "import json, resource\n"
        "from session_testnet.process_tuning import allow_open_files\n"
        "hard = min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1])\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, hard))\n"
        f"allow_open_files({nodes})\n"
        "print(json.dumps(resource.getrlimit(resource.RLIMIT_NOFILE)))"
    )


@pytest.mark.parametrize(
    ("soft", "nodes", "expected"),
    [(256, 14, 14 * 8 + 512), (1024, 14, 1024), (256, 100, 100 * 8 + 512), (256, 1000, 4096)],
)
def test_limit_of_open_files_grows_with_the_network_up_to_the_hard_one(
    soft: int, nodes: int, expected: int
) -> None:
    assert limits_after(soft=soft, nodes=nodes) == [expected, 4096]


def test_garbage_is_collected_again_once_the_network_runs() -> None:
    seen = run(
        "import gc, json\n"
        "from session_testnet.process_tuning import garbage_left_alone\n"
        "with garbage_left_alone():\n"
        "    inside = gc.isenabled()\n"
        "print(json.dumps([inside, gc.isenabled(), gc.get_freeze_count() > 1000]))"
    )
    assert seen == [False, True, True]


def test_garbage_is_collected_after_a_failed_start_as_before() -> None:
    seen = run(
        "import gc, json\n"
        "from session_testnet.process_tuning import garbage_left_alone\n"
        "try:\n"
        "    with garbage_left_alone():\n"
        "        raise OSError\n"
        "except OSError:\n"
        "    print(json.dumps([gc.isenabled(), gc.get_freeze_count()]))"
    )
    assert seen == [True, 0]
