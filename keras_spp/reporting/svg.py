"""Figures of matplotlib as pieces of a page: in its font, and in its colours, light or dark."""

from __future__ import annotations

import contextlib
import html
import io
import re
from collections.abc import Iterator
from typing import Any

from keras_spp.reporting.extras import extra

# Colours that stand for a variable of the page's style sheet, and that nothing else has.
INK, MUTED, GRID, KEPT, REMOVED, FIXED = (f"#00010{number}" for number in range(1, 7))
BANDS = tuple(f"#00020{number}" for number in range(1, 6))
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    KEPT: "--kept",
    REMOVED: "--removed",
    FIXED: "--fixed",
    **{color: f"--p{number}" for number, color in enumerate(BANDS)},
}
# What a figure looks like beside text: one unit of its size is one pixel.
_PIXELS = 72
_SETTINGS = {
    "axes.axisbelow": True,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": MUTED,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "figure.facecolor": "none",
    "font.size": 11.5,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a $ in a layer's name is a $
    "xtick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.color": MUTED,
    "ytick.major.size": 0,
}
_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@contextlib.contextmanager
def figure(width: float, height: float) -> Iterator[Any]:
    """Yields a figure of so many pixels, to be drawn and given to `as_svg` inside the block."""
    with extra("matplotlib").rc_context(_SETTINGS):
        size = (width / _PIXELS, height / _PIXELS)
        yield extra("matplotlib.figure").Figure(size, dpi=_PIXELS, layout="constrained")


def as_svg(drawn: Any, name: str, description: str) -> str:
    """Returns a figure as an element of a page.

    Args:
        drawn: The figure.
        name: What no other figure of the page is called.
        description: What it shows, for those who do not see it.
    """
    with extra("matplotlib").rc_context({"svg.hashsalt": name}):
        buffer = io.StringIO()
        drawn.savefig(buffer, format="svg", metadata=_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    label = html.escape(description, quote=True)
    text = re.sub(
        r'<svg[^>]*?viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{label}">',
        text,
        count=1,
        flags=re.DOTALL,
    )
    used = set(re.findall(r'(?:url\(|href=")#([\w-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda m: m[0] if m[1] in used else "", text)
    # The page has the font; and what is not turned needs no transformation.
    text = re.sub(r'font-family: [^;"]*; | transform="rotate\(-0 [^"]*"', "", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return re.sub(r"\s*<!--.*?-->", "", text, flags=re.DOTALL).strip()
