"""What a topology says of the file server: ids, sizes, lifetimes, and the releases that it tells clients."""

from dataclasses import dataclass
from typing import Final, Literal

from session_testnet.topology_table import TopologyError, TopologyTable

FileIdMode = Literal["numeric", "hash"]

FILE_ID_MODES: tuple[FileIdMode, ...] = ("numeric", "hash")
PLATFORMS: Final = ("desktop", "android", "ios")

_DAY_S: Final = 24 * 60 * 60
# Times stay within what an Expires header can say, sizes within what a test machine can hold.
_LONGEST_S: Final = 36_500 * _DAY_S
_LARGEST_BYTES: Final = 2**31 - 1

_RELEASE_KEYS: Final = ("version", "updated", "name", "notes", "asset")
FILES_KEYS: Final = ("id_mode", "max_size", "default_ttl_s", "max_ttl_s", "release")


@dataclass(frozen=True, slots=True)
class Release:
    """One release of an app; ``updated`` in Unix seconds, ``assets`` pairs of name and URL."""

    version: str
    updated: float
    name: str | None = None
    notes: str | None = None
    assets: tuple[tuple[str, str], ...] = ()
    prerelease: "Release | None" = None

    def __post_init__(self) -> None:
        if not self.version:
            raise TopologyError("a release has no version", 'for example version = "1.17.0"')
        if not 0 <= self.updated <= _LONGEST_S:
            raise TopologyError(f"{self.updated} is no time of a release", "updated is in Unix seconds")


# Old enough that no app offers its user an update.
DEFAULT_RELEASES: Final = tuple(
    (platform, Release("1.0.0", 1_600_000_000.0, name=f"Session {platform}")) for platform in PLATFORMS
)


@dataclass(frozen=True, slots=True)
class FilesSpec:
    """How the file server behaves; sizes in bytes, times in seconds (file-server §§3, 5, 9).

    ``max_ttl_s`` 0 makes it ignore what lifetime an upload asks for. ``releases`` are pairs of platform and
    release.
    """

    id_mode: FileIdMode = "numeric"
    max_size: int = 10_000_000
    default_ttl_s: int = 21 * _DAY_S
    max_ttl_s: int = 21 * _DAY_S
    releases: tuple[tuple[str, Release], ...] = DEFAULT_RELEASES

    def __post_init__(self) -> None:
        if self.id_mode not in FILE_ID_MODES:
            raise TopologyError(f"{self.id_mode!r} is no file id mode", 'choose "numeric" or "hash"')
        if not 1 <= self.max_size <= _LARGEST_BYTES:
            raise TopologyError(
                f"the largest file cannot have {self.max_size} bytes",
                f"max_size goes from 1 to {_LARGEST_BYTES}",
            )
        if not 1 <= self.default_ttl_s <= _LONGEST_S:
            raise TopologyError(
                f"files cannot live for {self.default_ttl_s} s", f"default_ttl_s goes from 1 to {_LONGEST_S}"
            )
        if not 0 <= self.max_ttl_s <= _LONGEST_S:
            raise TopologyError(
                f"nobody can ask for a lifetime of up to {self.max_ttl_s} s",
                f"max_ttl_s goes from 1 to {_LONGEST_S}; 0 ignores what uploads ask for",
            )
        platforms = [platform for platform, _ in self.releases]
        if not set(platforms) <= set(PLATFORMS) or len(set(platforms)) != len(platforms):
            raise TopologyError(
                f"releases cannot be for {', '.join(platforms)}",
                f"one each for some of {', '.join(PLATFORMS)}",
            )


def parse_files(table: TopologyTable | None) -> FilesSpec:
    """Read the table ``[files]``; TopologyError names the key and what it takes.

    A platform without a release in the file keeps the default one.
    """
    default = FilesSpec()
    if table is None:
        return default
    releases = dict(default.releases)
    for each in table.tables("release", ("platform", *_RELEASE_KEYS, "prerelease")) or ():
        releases[each.choice("platform", PLATFORMS, "")] = _release(each)
    with table.blaming(None):
        return FilesSpec(
            id_mode=table.choice("id_mode", FILE_ID_MODES, default.id_mode),
            max_size=table.number("max_size", default.max_size),
            default_ttl_s=table.number("default_ttl_s", default.default_ttl_s),
            max_ttl_s=table.number("max_ttl_s", default.max_ttl_s),
            releases=tuple(releases.items()),
        )


def _release(table: TopologyTable) -> Release:
    prerelease = table.table("prerelease", _RELEASE_KEYS)
    assets = table.tables("asset", ("name", "url")) or ()
    with table.blaming(None):
        return Release(
            table.text("version", ""),
            float(table.number("updated", 0)),
            table.text("name", "") or None,
            table.text("notes", "") or None,
            tuple((each.text("name", ""), each.text("url", "")) for each in assets),
            _release(prerelease) if prerelease is not None else None,
        )
