"""Recognise the pictures that browsers show and that cannot carry a script."""

from typing import Final

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)


def picture_type(body: bytes) -> str | None:
    """Return the media type of a PNG, JPEG, GIF or WebP by its first bytes; None for anything else."""
    for beginning, media_type in _BEGINNINGS:
        if body.startswith(beginning):
            return media_type
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    return None
