"""The join URL as a QR code that phones read off a screen."""

import functools
import io
from typing import Final

import segno
from markupsafe import Markup

PNG_PIXELS: Final = 512
"""How wide a picture is at least (open-group-server §19)."""
QUIET_MODULES: Final = 4
"""The white margin that readers need, in modules."""
_SVG_MODULE_PIXELS: Final = 5


def qr_code(join_url: str) -> segno.QRCode:
    """Return the code of a join URL, readable with 15 % of it covered."""
    return segno.make_qr(join_url, error="m")


@functools.lru_cache(maxsize=64)
def invitation_png(join_url: str) -> bytes:
    """Draw a join URL as a PNG, black on white, each module a whole number of pixels."""
    code = qr_code(join_url)
    modules = code.symbol_size(border=QUIET_MODULES)[0]
    picture = io.BytesIO()
    code.save(picture, kind="png", scale=-(-PNG_PIXELS // modules), border=QUIET_MODULES)
    return picture.getvalue()


@functools.lru_cache(maxsize=64)
def invitation_svg(join_url: str) -> Markup:
    """Draw a join URL as an SVG element; it holds shapes only, nothing of the text."""
    code = qr_code(join_url)
    # White under black also on a dark page: many readers do not take an inverted code.
    drawing = code.svg_inline(
        border=QUIET_MODULES, dark="#000", light="#fff", svgclass="qr", lineclass=None, omitsize=True
    )
    # A whole number of pixels for each module, where the screen is wide enough, keeps the edges sharp.
    pixels = _SVG_MODULE_PIXELS * code.symbol_size(border=QUIET_MODULES)[0]
    sized = drawing.replace("<svg ", f'<svg width="{pixels}" height="{pixels}" ', 1)
    return Markup(sized)  # noqa: S704 - drawn here, from numbers
