"""Shows explanations: as highlighted HTML, as text for a terminal, as a page, as a figure.

Blue is for the answer (or raises the number), orange against it: two hues that colour-blind readers
can distinguish. The page also shows this without colour: words for the answer have a straight line
below them, words against it a wavy one, and the most important ones a plus or minus sign.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import regex
from markupsafe import Markup, escape

from keras_seqzoo.explanation.words import bounds_of, without_surrogates
from keras_seqzoo.files import whole

if TYPE_CHECKING:
    from rich.text import Text

    from keras_seqzoo.explanation.explanation import Explanation
    from keras_seqzoo.explanation.explanations import Explanations

# Wong 2011, Points of view: Color blindness. Nature Methods 8, 441: blue and orange.
_BLUE, _ORANGE = (86, 180, 233), (230, 159, 0)
_FAINT, _STRONG = 0.05, 0.25
_MINUS = "\N{MINUS SIGN}"
# No score below this share of the spread looks strong, even if all others are smaller.
_LEAST_SCALE = 0.02
_BARS = 10

_CONTROLS = regex.compile(r"[\p{Cs}\p{Cc}--[\n\t]]", regex.V1)

_PAGE = Markup(
    """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explanations</title>
<style>
body {{ margin: 1.5rem auto; max-width: 50rem; padding: 0 1rem; color: #1a1a1a; background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; }}
h1 {{ font-size: 1.4rem; }} h2 {{ font-size: 1.1rem; }}
table {{ border-collapse: collapse; }}
th, td {{ text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top;
  overflow-wrap: anywhere; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.views {{ display: flex; flex-wrap: wrap; gap: 0 3rem; }}
@media print {{ section {{ break-inside: avoid; }} }}
</style>
<h1>Explanations</h1>
{legend}
{views}
{texts}
</html>
"""
)
_BOX = Markup(
    '<section style="margin:1rem 0;padding-top:.6rem;border-top:1px solid #8888">'
    "<div><b>{target}</b> {output} <small>(without words {base}; {method})</small></div>"
    "{highlighted}{bars}{note}</section>"
)
_NAMES = {
    "occlusion": "occlusion",
    "shapley": "Shapley values",
    "integrated_gradients": "integrated gradients",
}


def highlight(explanation: Explanation) -> Markup:
    """Returns the user's text as HTML with words coloured by their scores, a `<div>` for each text.

    All styles are inline, so it fits into any page. Spaces and line breaks are kept,
    long words wrap, and the direction of the text follows its first letter.

    Args:
        explanation: explanation of a text or pair.
    """
    blocks = []
    for number, stretches in enumerate(_stretches(explanation)):
        marked = "".join(
            _mark(text, strength, "" if score is None else _signed(score, explanation.decimals))
            for text, strength, score in stretches
        )
        apart = ";margin-top:.3em;border-top:1px dotted #888" if number else ""
        blocks.append(
            '<div dir="auto" style="white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.9'
            f'{apart}">{marked}</div>'
        )
    return Markup("".join(blocks))


def bars(explanation: Explanation, k: int = _BARS) -> Markup:
    """Returns the words with the largest scores as an HTML table of bars, the strongest first.

    Args:
        explanation: explanation of a text or pair.
        k: most words to show.
    """
    strengths = _strengths(explanation)
    order = np.argsort(-np.abs(strengths), kind="stable")[:k]
    rows = [
        Markup(
            '<tr><td dir="auto" style="padding:0 .8em 0 0;text-align:start">'
            '<div style="max-width:10em;overflow-wrap:break-word">{}</div></td>'
            '<td style="padding:0 .8em 0 0;text-align:right;white-space:nowrap">{}</td>'
            '<td style="padding:0;width:9em;vertical-align:middle"><div style="{}"></div></td></tr>'
        ).format(
            Markup(_escape(explanation.text[slice(*explanation.spans[i])])),
            _signed(explanation.scores[i], explanation.decimals,
                    None if explanation.errors is None else explanation.errors[i]),
            f"height:.7em;width:{100 * abs(strengths[i]):.0f}%;{_fill(strengths[i])};"
            f"border:1px solid #555;{'border-style:dashed;' if strengths[i] < 0 else ''}"
            "box-sizing:border-box",
        )
        for i in order
        if abs(strengths[i]) >= _FAINT
    ]  # fmt: skip
    table = Markup('<table style="border-collapse:collapse;font-size:.9em">{}</table>')
    return table.format(Markup("").join(rows)) if rows else Markup("")


def fragment(explanation: Explanation) -> Markup:
    """Returns the answer, highlighted text and bars of an explanation, to put in any page."""
    note = f"<div><small>{escape(explanation.note)}</small></div>" if explanation.note else ""
    return _BOX.format(
        target=Markup(_escape(explanation.target)),
        output=f"{explanation.output:.{explanation.decimals}f}",
        base=f"{explanation.base:.{explanation.decimals}f}",
        method=_NAMES.get(explanation.method, explanation.method),
        highlighted=highlight(explanation),
        bars=bars(explanation),
        note=Markup(note),
    )


def legend(outcome: str = "probability") -> Markup:
    """Returns a line of HTML that explains the colours, lines and signs.

    Args:
        outcome: what the explained numbers are, as `Task.outcome`.
    """
    verbs, noun = ("for", "against"), "its class or label"
    unit = "are in probability"
    if outcome != "probability":
        verbs, noun, unit = ("that raise", "that lower"), f"the {outcome}", "are in its unit"
    return Markup(
        "<p><small>Words {} {noun}, words {} it; the stronger the colour, the more the word "
        "counts in its text. Scores {unit}.</small></p>"
    ).format(Markup(_mark(verbs[0], 1.0)), Markup(_mark(verbs[1], -1.0)), noun=noun, unit=unit)


def page(explanations: Explanations) -> str:
    """Returns a complete page, which loads nothing."""
    view = explanations.global_view() if len(explanations) > 1 else pd.DataFrame()
    outcome = explanations[0].outcome if len(explanations) else "probability"
    tables = [
        Markup("<div><h2>{}</h2><table>{}</table></div>").format(
            Markup(_escape(str(name))), Markup("").join(_view_rows(rows, explanations[0].decimals))
        )
        for name, rows in (view.groupby("class", sort=False) if len(view) else ())
    ]
    made = Markup("")
    if tables:
        made = Markup(
            "<p>Words that {}, by their mean score where they occur (and how often they do):</p>"
            '<div class="views">{}</div>'
        ).format(
            "push each class or label" if outcome == "probability" else f"move each {outcome}",
            Markup("").join(tables),
        )
    texts = Markup("\n").join(fragment(explanation) for explanation in explanations)
    return str(_PAGE.format(legend=legend(outcome), views=made, texts=texts))


def terminal(explanation: Explanation) -> Text:
    """Returns the text for rich, with the scores of the most important words in brackets."""
    from rich.text import Text

    made = Text()
    made.append(_printable(explanation.target), style="bold")
    made.append(
        f" {explanation.output:.{explanation.decimals}f} (without words "
        f"{explanation.base:.{explanation.decimals}f}; "
        f"{_NAMES.get(explanation.method, explanation.method)})"
    )
    blocks = _stretches(explanation)
    places = max(explanation.decimals - 1, 0)
    for number, stretches in enumerate(blocks, 1):
        made.append("\n")
        if len(blocks) > 1:
            made.append(f"{number}: ", style="dim")
        for text, strength, score in stretches:
            colour = "blue" if strength > 0 else "dark_orange3"
            style = f"bold {colour}" if abs(strength) >= _STRONG else colour
            made.append(_printable(text), style=style if abs(strength) >= _FAINT else "")
            if abs(strength) >= _STRONG:
                made.append(f"[{score:+.{places}f}]", style=colour)
    if explanation.note:
        made.append(f"\n({explanation.note})", style="dim")
    return made


def convergence_figure(explanations: Sequence[Explanation], to: Any = None) -> Any:
    """Draws the error against the effort: see `Explanations.plot_convergence`."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    curves = [e.convergence for e in explanations if e.convergence]
    if not curves:
        raise ValueError(
            "Nothing converges here: occlusion is exact, and so are Shapley values of few words. "
            f"Received: {len(explanations)} explanations without a curve"
        )
    is_path = isinstance(to, str | os.PathLike)
    figure = Figure(figsize=(6, 4), layout="constrained") if to is None or is_path else to.figure
    axes = figure.subplots() if to is None or is_path else to
    for curve in curves:
        axes.plot(
            *zip(*curve, strict=True),
            color="#0072b2",
            alpha=max(0.15, 1 / len(curves)),
            marker="o" if len(curve) == 1 else None,  # one point alone draws no line
        )
    last = statistics.median(curve[-1][1] for curve in curves)
    axes.axhline(last, color="#333333", linestyle=":", label=f"median at the end: {last:.4f}")
    sampled = explanations[0].method == "shapley"
    axes.set(
        xlabel="texts asked of the model" if sampled else "steps of the integral",
        ylabel="largest standard error" if sampled else "miss of the sum",
    )
    # A logarithmic axis cannot show an error of 0.
    if min(error for curve in curves for _, error in curve) > 0:
        axes.set_yscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.legend(frameon=False)
    if is_path:
        with whole(to) as unfinished:
            figure.savefig(unfinished, dpi=150)
    return figure


def _view_rows(rows: pd.DataFrame, decimals: int) -> Iterator[Markup]:
    for token, score, count in zip(rows["token"], rows["mean_score"], rows["count"], strict=True):
        yield Markup(
            '<tr><td dir="auto">{}</td><td class="n">{}</td><td class="n">{}\u00d7</td></tr>'
        ).format(Markup(_escape(token)), f"{score:+.{decimals}f}", f"{count:,}")


def _strengths(explanation: Explanation) -> np.ndarray:
    """Scores as shares of the largest, from -1 to 1."""
    scores = np.asarray(explanation.scores, float)
    return scores / max(np.abs(scores).max(initial=0.0), _LEAST_SCALE * explanation.spread)


def _stretches(explanation: Explanation) -> list[list[tuple[str, float, float | None]]]:
    """Cuts each text into its tokens and the text between them, with strength and score."""
    text = explanation.text
    tokens = list(zip(explanation.spans, _strengths(explanation), explanation.scores, strict=True))
    texts = []
    for at, end in bounds_of(explanation.texts):
        stretches: list[tuple[str, float, float | None]] = []
        for (first, last), strength, score in tokens:
            if at <= first < end:
                stretches += [(text[at:first], 0.0, None), (text[first:last], strength, score)]
                at = last
        texts.append([*stretches, (text[at:end], 0.0, None)])
    return texts


def _mark(token: str, strength: float, score: str = "") -> str:
    if abs(strength) < _FAINT:
        return _escape(token)
    line = "solid" if strength > 0 else "wavy"
    style = (
        f"{_fill(strength)};color:#111;border-radius:2px;"
        f"text-decoration:underline {line} {'2px' if abs(strength) >= _STRONG else '1px'};"
        "text-underline-offset:3px"
    )
    sign = ""
    if abs(strength) >= _STRONG:
        # The sign is not copied with the text.
        sign = (
            '<sup style="color:#111;font-size:.7em;line-height:0;user-select:none;'
            f'unicode-bidi:isolate">{"+" if strength > 0 else _MINUS}</sup>'
        )
    title = f' title="{score}"' if score else ""
    return f'<span style="{style}"{title}>{sign}{_escape(token)}</span>'


def _fill(strength: float) -> str:
    hue = _BLUE if strength > 0 else _ORANGE
    depth = min(abs(strength), 1.0)
    red, green, blue = (round(255 + (c - 255) * (0.15 + 0.85 * depth)) for c in hue)
    return f"background:rgb({red},{green},{blue});print-color-adjust:exact"


def _signed(score: float, decimals: int, error: float | None = None) -> str:
    shown = f"{score:+.{decimals}f}".replace("-", _MINUS)
    return shown if error is None else f"{shown} ± {error:.{decimals}f}"


def _escape(text: str) -> str:
    # HTML has no NUL.
    return str(escape(without_surrogates(text).replace("\0", "\ufffd")))


def _printable(text: str) -> str:
    """Returns the text without control characters for the terminal."""
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n"))
