"""The measured process: a testnet that tells on stdout how to reach it and, when asked, what it has used.

Run as a script with one argument, JSON: ``{"nodes", "swarms", "data_dir", "core"}``. The first line that it
writes is ``{"nodes": [{"name", "host", "port", "ed25519_pk", "x25519_pk", "swarm_id"}], "community": {"url",
"x25519_pk"}, "files": {"url", "x25519_pk"}, "cpu_s"}``. Each line that it reads, ``cpu`` or ``memory``, is
answered with one; the end of its input ends it.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from session_testnet import NetworkOptions, Topology, open_local
from session_testnet.process_tuning import garbage_left_alone


def main(arguments: dict[str, Any]) -> None:
    """Run a testnet as ``session-harness up`` does, until nobody asks any more."""
    if arguments["core"] is not None:
        os.sched_setaffinity(0, {arguments["core"]})
    topology = Topology.default(arguments["nodes"], swarms=arguments["swarms"])
    data_dir = Path(arguments["data_dir"]) if arguments["data_dir"] else None
    with ExitStack() as running:
        with garbage_left_alone():
            handle = running.enter_context(open_local(topology, NetworkOptions(data_dir=data_dir)))
        nodes = [
            {
                "name": node["name"],
                "host": node["ip"],
                "port": node["https_port"],
                "ed25519_pk": node["pubkey_ed25519"],
                "x25519_pk": node["pubkey_x25519"],
                "swarm_id": int(node["swarm_id"], 16),
            }
            for node in handle.state["nodes"]
        ]
        community, files = handle.state["community"], handle.state["files"]
        servers = {
            "community": {"url": community["url"], "x25519_pk": community["public_key"]},
            "files": {"url": files["url"], "x25519_pk": files["pubkey_x25519"]},
        }
        _say({"nodes": nodes, **servers, "cpu_s": time.process_time()})
        answers: dict[str, Callable[[], dict[str, Any]]] = {"cpu": _cpu, "memory": _memory}
        for line in sys.stdin:
            _say(answers[line.strip()]())


def _cpu() -> dict[str, float]:
    return {"cpu_s": time.process_time()}


def _memory() -> dict[str, int]:
    """Return what the process holds now that nobody uses it: in all, and unshared, in bytes."""
    gc.collect()
    fields: dict[str, int] = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0]) * 1024
    return {"resident": fields["Rss"], "unshared": fields["Private_Clean"] + fields["Private_Dirty"]}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
