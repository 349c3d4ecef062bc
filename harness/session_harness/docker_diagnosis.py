"""Look at the container engine: is there one, what can it do, is there an image, what was left behind."""

from typing import Any, Final

from session_harness.diagnosis import Finding, Weight

# The oldest API that the Docker SDK speaks.
_OLDEST_API: Final = (1, 24)


def examine_docker() -> list[Finding]:
    """Return the findings about containers; nothing of them is needed by the other engines."""
    from session_testnet.docker_daemon import DockerError, connect

    try:
        client = connect(timeout_s=10)
    except DockerError as error:
        return [_optional("Docker", f"{error.message}: {error.hint}", fine=False)]
    try:
        return [_engine(client), _swarm(client), _image(client)]
    except Exception as error:  # noqa: BLE001 - an engine that half answers is a finding, not a failure
        return [_optional("Docker", f"answers, but not as Docker does: {error}", fine=False)]
    finally:
        client.close()


def _optional(subject: str, text: str, *, fine: bool) -> Finding:
    return Finding(subject, fine=fine, text=text, weight=Weight.OPTIONAL)


def _engine(client: Any) -> Finding:
    version = client.version()
    api = tuple(int(part) for part in version["ApiVersion"].split("."))
    kinds = [part.get("Name", "") for part in version.get("Components", [])]
    kind = "Podman" if any("Podman" in name for name in kinds) else "engine"
    security = client.info().get("SecurityOptions") or []
    rootless = ", rootless" if any("rootless" in option for option in security) else ""
    text = f"{kind} {version['Version']}, API {version['ApiVersion']}{rootless}"
    if api < _OLDEST_API:
        return _optional("Docker", f"{text}: API {'.'.join(map(str, _OLDEST_API))} is needed", fine=False)
    return _optional("Docker", text, fine=True)


def _swarm(client: Any) -> Finding:
    swarm = client.info().get("Swarm", {})
    if swarm.get("ControlAvailable"):
        machines = swarm.get("Nodes", 1)
        text = f"a manager of {machines} {'machine' if machines == 1 else 'machines'}"
        return _optional("Docker Swarm", text, fine=True)
    if swarm.get("LocalNodeState") == "active":
        return _optional("Docker Swarm", "this machine is a worker: start testnets on a manager", fine=False)
    text = "not set up; the engine docker-swarm needs it: docker swarm init"
    return _optional("Docker Swarm", text, fine=False)


def _image(client: Any) -> Finding:
    from docker.errors import ImageNotFound

    from session_testnet.docker_labels import CONTENT
    from session_testnet.images.build import default_tag
    from session_testnet.images.wheel import content_hash

    tag = default_tag()
    try:
        image = client.images.get(tag)
    except ImageNotFound:
        return _optional("image", f"no {tag}: build it with session-harness image build", fine=False)
    if image.labels.get(CONTENT) != content_hash():
        text = f"{tag} was built from another session-harness: session-harness image build"
        return _optional("image", text, fine=False)
    return _optional("image", f"{tag}, {image.attrs['Size'] / 1e6:.0f} MB", fine=True)
