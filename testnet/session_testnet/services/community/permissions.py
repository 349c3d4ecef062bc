"""Who may do what in a room, as a pure function of flags (open-group-server §7)."""

from dataclasses import dataclass
from enum import StrEnum


class Right(StrEnum):
    """What a caller can be allowed to do in a room without being its moderator."""

    READ = "read"
    ACCESSIBLE = "accessible"
    WRITE = "write"
    UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a room allows everybody."""

    read: bool = True
    accessible: bool = True
    write: bool = True
    upload: bool = True

    def of(self, right: Right) -> bool:
        """Return the flag of one right."""
        return bool(getattr(self, right.value))


@dataclass(frozen=True, slots=True)
class GlobalFlags:
    """What a user is on the whole server; an admin is a moderator too."""

    banned: bool = False
    moderator: bool = False
    admin: bool = False
    visible: bool = False


@dataclass(frozen=True, slots=True)
class Override:
    """What a user is in one room, and the rights that differ from the room's defaults (None: they do not)."""

    banned: bool = False
    moderator: bool = False
    admin: bool = False
    visible: bool = True
    read: bool | None = None
    accessible: bool | None = None
    write: bool | None = None
    upload: bool | None = None

    def of(self, right: Right) -> bool | None:
        """Return the flag of one right."""
        value: bool | None = getattr(self, right.value)
        return value


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands in a room."""

    admin: bool
    moderator: bool
    global_admin: bool
    global_moderator: bool
    banned: bool
    rights: frozenset[Right]

    def may(self, *wanted: Right) -> bool:
        """Tell whether the caller has all these rights."""
        return self.rights.issuperset(wanted)


def standing(
    defaults: Defaults, everywhere: GlobalFlags | None = None, here: Override | None = None
) -> Standing:
    """Work out a caller's standing; an anonymous one (no flags at all) gets the room's defaults.

    The order is the reference's: admins and moderators may do everything, then a ban takes everything, then
    each right is the override where there is one, else the default. A room that can be read is accessible.
    """
    everywhere, here = everywhere or GlobalFlags(), here or Override()
    admin = everywhere.admin or here.admin
    moderator = admin or everywhere.moderator or here.moderator
    # Nobody is both, and if it came to that, a moderator would not be shut out.
    banned = not moderator and (everywhere.banned or here.banned)
    rights: set[Right]
    if moderator:
        rights = set(Right)
    elif banned:
        rights = set()
    else:
        rights = {right for right in Right if _allowed(defaults, here, right)}
        if Right.READ in rights:
            rights.add(Right.ACCESSIBLE)
    return Standing(
        admin=admin,
        moderator=moderator,
        global_admin=everywhere.admin,
        global_moderator=everywhere.admin or everywhere.moderator,
        banned=banned,
        rights=frozenset(rights),
    )


def _allowed(defaults: Defaults, here: Override, right: Right) -> bool:
    override = here.of(right)
    return defaults.of(right) if override is None else override
