"""The same generated examples on every run, and no deadline: the machine may be busy."""

import os
from typing import NoReturn

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

# Where no image can be pulled, `ci/docker/base-from-debian` makes this one.
BASES = ("session-harness-base:bookworm", "python:3.12-slim")


def skip_or_fail(reason: str) -> NoReturn:
    """Skip a test that needs containers; with CI=true and REQUIRE_DOCKER=1 let it fail instead."""
    if os.environ.get("CI") == "true" and os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(f"REQUIRE_DOCKER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def container_image() -> str:
    """Return the image of the package under test, built when there is none; skip loudly without an engine."""
    from session_testnet.docker_daemon import DockerError, connect
    from session_testnet.docker_labels import CONTENT
    from session_testnet.images.build import build_image, default_tag
    from session_testnet.images.wheel import content_hash

    try:
        client = connect()
    except DockerError as error:
        skip_or_fail(f"NO CONTAINER ENGINE: {error}")
    try:
        present = {tag: image for image in client.images.list() for tag in image.tags}
    finally:
        client.close()
    tag = default_tag()
    if tag not in present or present[tag].labels.get(CONTENT) != content_hash():
        build_image(next((base for base in BASES if base in present), BASES[-1]))
    return tag


@pytest.fixture(scope="session")
def docker_swarm(container_image: str) -> None:
    """Skip where the container engine is no manager of a Docker Swarm."""
    from session_testnet.docker_daemon import connect

    client = connect()
    try:
        if not client.info()["Swarm"].get("ControlAvailable"):
            skip_or_fail("NO DOCKER SWARM: make one with docker swarm init --advertise-addr 127.0.0.1")
    finally:
        client.close()
