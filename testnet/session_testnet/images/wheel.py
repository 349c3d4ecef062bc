"""Make a wheel of the running package, wherever it is installed: from its files, the same bytes each time."""

import base64
import hashlib
import importlib.util
import zipfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

DISTRIBUTION: Final = "session-harness"
_PACKAGES: Final = ("session_protocol", "session_testnet", "session_conformance", "session_harness")
# What a node needs of them.
_OF_NODES: Final = ("session_protocol", "session_testnet")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_WHEEL: Final = "Wheel-Version: 1.0\nGenerator: session-harness\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(directory: Path) -> Path:
    """Write the wheel of the running package into a directory; return its path."""
    distribution = metadata.distribution(DISTRIBUTION)
    stem = f"{DISTRIBUTION.replace('-', '_')}-{distribution.version}"
    path, record = directory / f"{stem}-py3-none-any.whl", []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: bytes) -> None:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(content)}")

        for name, source in _files(_PACKAGES):
            add(name, source.read_bytes())
        for name in ("METADATA", "entry_points.txt"):
            add(f"{stem}.dist-info/{name}", (distribution.read_text(name) or "").encode())
        add(f"{stem}.dist-info/WHEEL", _WHEEL.encode())
        listing = f"{stem}.dist-info/RECORD"
        archive.writestr(zipfile.ZipInfo(listing, _EPOCH), "\n".join([*record, f"{listing},,", ""]))
    return path


def content_hash() -> str:
    """Return what tells the code of nodes that runs here from any other: 16 hex digits."""
    digest = hashlib.sha256()
    for name, source in _files(_OF_NODES):
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(source.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _files(packages: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yield the files of the package's parts with their names in a wheel, in order."""
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"the package {package} is not installed")
        root = Path(spec.origin).parent
        for source in sorted(root.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                yield f"{package}/{source.relative_to(root).as_posix()}", source
