"""Write a testnet as a Compose file: the whole network in one service, reached at the service's address."""

import json
from typing import Final

from session_harness.serving import ServeOptions, described

_TOPOLOGY: Final = "/etc/session-harness/topology.toml"
# The address is known only inside, when the container has been started. Compose doubles a dollar sign.
_OWN: Final = 'own=$$(python -c "import socket; print(socket.gethostbyname(socket.gethostname()))")'


def compose_file(options: ServeOptions, image: str | None) -> str:
    """Return the Compose file of the testnet that options of ``up`` describe; raise UsageError.

    Services in the same file reach everything: the state, with all addresses and the control token, stands in
    the volume ``state``.
    """
    from session_testnet.images.build import default_tag

    described(options)
    words = ["--name", options.name, "--state", "/data/testnet.json"]
    for option, value in (
        ("--nodes", options.nodes),
        ("--profile", options.profile),
        ("--seed", options.seed),
        ("--topology", _TOPOLOGY if options.topology else None),
    ):
        words += [] if value is None else [option, str(value)]
    up = f'{_OWN} && exec session-harness up --advertise-ip "$$own" --control-ip "$$own" {" ".join(words)}'
    lines = [
        "services:",
        "  testnet:",
        f"    image: {_text(image or default_tag())}",
        f"    command: [sh, -c, {_text(up)}]",
        "    volumes: [state:/data]",
        "    healthcheck:",
        "      test: [CMD, test, -f, /data/testnet.json]",
        "      interval: 1s",
        "      start_period: 60s",
    ]
    if options.topology is not None:
        content = options.topology.read_text("utf-8").replace("$", "$$")
        lines += [
            "    configs:",
            f"      - {{source: topology, target: {_TOPOLOGY}}}",
            "configs:",
            "  topology:",
            f"    content: {_text(content)}",
        ]
    return "\n".join([*lines, "volumes:", "  state: {}", ""])


def _text(value: str) -> str:
    """Return a text as YAML has it: JSON's form is one of them."""
    return json.dumps(value)
