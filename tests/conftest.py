"""The same generated examples on every run, and no deadline: the machine may be busy."""

import os

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

# Where no image can be pulled, `ci/docker/base-from-debian` makes this one.
BASES = ("session-harness-base:bookworm", "python:3.12-slim")


@pytest.fixture(scope="session")
def container_image() -> str:
    """Return the image of the package under test, built when there is none; without an engine, skip loudly.

    With CI=true and REQUIRE_DOCKER=1 a missing engine is a failure: there it must not go unnoticed.
    """
    from session_testnet.docker_daemon import DockerError, connect
    from session_testnet.docker_labels import CONTENT
    from session_testnet.images.build import build_image, default_tag
    from session_testnet.images.wheel import content_hash

    try:
        client = connect()
    except DockerError as error:
        if os.environ.get("CI") == "true" and os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"REQUIRE_DOCKER=1, but {error}")
        pytest.skip(f"NO CONTAINER ENGINE: {error}")
    try:
        present = {tag: image for image in client.images.list() for tag in image.tags}
    finally:
        client.close()
    tag = default_tag()
    if tag not in present or present[tag].labels.get(CONTENT) != content_hash():
        build_image(next((base for base in BASES if base in present), BASES[-1]))
    return tag
