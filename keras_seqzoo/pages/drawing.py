"""The style of figures, and their way into a page: colours, SVG, labels that do not overlap."""

from __future__ import annotations

import io
import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

# Okabe and Ito (2008), Color Universal Design: distinct for all kinds of colour vision.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676"
INK, FAINT = "#1b1f24", "#d4d8dd"

_STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#8b929a",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.color": "#e4e7ea",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "savefig.facecolor": "white",
    # Text stays text: browsers have letters that matplotlib's own font lacks.
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_seqzoo",
    "text.color": INK,
    # A dollar in a name is a dollar.
    "text.parse_math": False,
    "xtick.color": "#4a5058",
    "xtick.labelsize": 8.5,
    "ytick.color": "#4a5058",
    "ytick.labelsize": 8.5,
}
# Possible places of a name: points away from its mark, and degrees, the good places first.
_DISTANCES = (7, 14, 21, 29, 38, 48, 59, 71, 85, 101, 119)
_ANGLES = (0, 180, 90, 270, 45, 135, 315, 225, 22, 158, 338, 202, 68, 112)
_NO_DATE = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@contextmanager
def style() -> Iterator[None]:
    """Sets the style of all figures that are drawn in the context."""
    with mpl.rc_context(cast(Any, _STYLE)), warnings.catch_warnings():
        # The browser has the letter; the picture shows a box, which we cannot change.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        yield


def png(figure: Figure, dpi: int = 200) -> bytes:
    """Returns a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """Returns a figure as SVG to put into a page.

    Args:
        figure: the figure.
        name: a name that is unique in the page; all ids start with it.
        description: the text for screen readers.
    """
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata=_NO_DATE)
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    # A style element would also apply to the page around the picture.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = re.sub(r"font: (?:(\d+) )?([\d.]+)px [^;\"]*", r"font-size: \2px; font-weight: \1", body)
    body = re.sub(r">\s+<", "><", body)
    width, height = figure.get_size_inches() * 72
    return Markup(
        f'<svg role="img" aria-label="{escape(description)}" viewBox="0 0 {width:g} {height:g}" '
        f'style="--wide: {width:g}">{body.strip()}'
    )


def wrapped(text: str, width: int) -> str:
    """Returns a name in lines of at most `width` characters, without losing any."""
    lines = [""]
    for part in re.findall(r"[^\s_/=,-]*[\s_/=,-]*", text):
        # A part without a place to break is broken anywhere.
        for piece in (part[i : i + width] for i in range(0, len(part), width)):
            if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
                lines.append("")
            lines[-1] += piece
    return "\n".join(line.strip() for line in lines)


def label_points(
    axes: Axes, names: Sequence[str], points: tuple[np.ndarray, np.ndarray], line: np.ndarray
) -> None:
    """Writes a name at each point so that names cover neither points nor each other.

    Each name takes the nearest free place around its point; a thin line leads to a distant one.

    Args:
        axes: axes whose limits and scales will not change.
        names: a name for each point.
        points: float xs and ys of the points `(points,)`, in data units.
        line: float `(corners, 2)`, a line that names should not cross, in data units.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    # The places hold only as long as the axes stay where they are.
    figure.set_layout_engine("none")
    renderer = canvas.get_renderer()
    point = figure.dpi / 72
    xs, ys = points
    spots = axes.transData.transform(np.column_stack([xs, ys]))
    frame = axes.get_window_extent(renderer)
    taken = [_around(spot, 5 * point) for spot in spots]
    corners = axes.transData.transform(line)
    for start, end in itertools.pairwise(corners):
        steps = max(int(np.hypot(*(end - start)) / (4 * point)), 1)
        taken += [_around(place, point) for place in np.linspace(start, end, steps + 1)]
    # Names in crowded places first would be best; top to bottom is almost as good, and stable.
    for i in np.lexsort((spots[:, 0], -spots[:, 1])):
        text = axes.annotate(
            names[i],
            (xs[i], ys[i]),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            linespacing=1.05,
            ha="center",
            va="center",
            zorder=5,
            annotation_clip=False,
        )
        box = text.get_window_extent(renderer)
        half = np.array([box.width, box.height]) / 2
        way, best = _free_place(spots[i], half, np.array(taken), frame, point)
        # Browsers write narrower letters than were measured: keep the end at the point in place.
        side = round(float(way[0]))
        text.set_horizontalalignment(("right", "center", "left")[side + 1])
        text.set_position(tuple((best - spots[i] - (side * half[0], 0)) / point))
        taken.append(np.concatenate([best - half - 1, best + half + 1]))
        edge = np.clip(spots[i], best - half, best + half)
        if np.hypot(*(edge - spots[i])) > 13 * point:
            axes.annotate(
                "",
                (xs[i], ys[i]),
                xytext=tuple((edge - spots[i]) / point),
                textcoords="offset points",
                arrowprops={
                    "arrowstyle": "-",
                    "color": GREY,
                    "lw": 0.6,
                    "shrinkA": 1,
                    "shrinkB": 3,
                },
            )


def _free_place(
    spot: np.ndarray, half: np.ndarray, others: np.ndarray, frame: Bbox, point: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best direction from a spot, and the middle of a box of twice `half` there."""
    found, least = (np.zeros(2), spot), np.inf
    for distance, angle in itertools.product(_DISTANCES, np.deg2rad(_ANGLES)):
        way = np.array([np.cos(angle), np.sin(angle)])
        middle = spot + way * (half + distance * point)
        box = np.concatenate([middle - half - 1, middle + half + 1])
        outside = max(frame.x0 - box[0], 0) + max(box[2] - frame.x1, 0)
        outside += max(frame.y0 - box[1], 0) + max(box[3] - frame.y1, 0)
        cost = 5 * _overlap(box, others) + 20 * outside + distance
        if cost < least:
            found, least = (way, middle), cost
    return found


def _around(spot: np.ndarray, reach: float) -> np.ndarray:
    return np.concatenate([spot - reach, spot + reach])


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(sides.clip(min=0).prod(axis=1).sum())
