"""`render`: results as one HTML page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from keras_seqzoo.evaluation.choose import about_tests, neighbours
from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Entry, Results
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.explanation.rendering import highlight, legend
from keras_seqzoo.pages import figures, formats, frames
from keras_seqzoo.pages.drawing import inline_svg
from keras_seqzoo.pages.files import (
    best_baseline,
    check_place,
    costs_known,
    with_curves,
    write_atomically,
)
from keras_seqzoo.pages.frames import frequent_confusions
from keras_seqzoo.pages.ranking import ranking
from keras_seqzoo.pages.story import summary

_TEMPLATES = Path(__file__).parent / "templates"
_MANY_CLASSES = 15


def template(name: str) -> jinja2.Template:
    """Returns a template of this folder."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "count": formats.count,
        "duration": formats.duration,
        "points": formats.points,
        "p_value": formats.p_value,
        "aligned": formats.aligned,
        "breakable": formats.breakable,
    }
    return environment.get_template(name)


def render(results: Results) -> str:
    """Makes the page of a comparison, or of one model.

    Args:
        results: at least one entry.

    Returns:
        HTML without links to other files or hosts; the same for the same results.

    Raises:
        ValueError: no entries.
    """
    if not results.entries:
        raise ValueError("A page needs at least one model. Received: Results without entries")
    return template("page.html.j2").render(**_context(results))


def write_page(results: Results, path: str | os.PathLike[str]) -> Path:
    """Writes the page of `render` as UTF-8, whole or not at all.

    Args:
        results: at least one entry.
        path: of the file, which is replaced where it exists.

    Returns:
        The path.

    Raises:
        ValueError: no entries, `path` is a folder, or it cannot be written.
    """
    path = Path(path)
    check_place(path)
    # A lone surrogate in a text has no UTF-8; the page shows it as a question mark.
    return write_atomically(path, render(results).encode("utf-8", "replace"))


def _context(results: Results) -> dict[str, Any]:
    table = leaderboard(results)
    tested = neighbours(results)
    labels = [str(label) for label in table.index if label in results.reports]
    entries = {entry.label: entry for entry in results.entries}
    return {
        "results": results,
        "single": len(results.entries) == 1,
        "labels": labels,
        "models": [entries[str(label)] for label in table.index],
        "rows": len(results.labels),
        "seeds": max(len(entry.runs) for entry in results.entries),
        "summary": summary(results, table, tested),
        "ranking": ranking(results, table),
        "baseline": best_baseline(table),
        "tested": tested,
        "figures": _figures(results, table, labels),
        "confusions": {
            label: frequent_confusions(results, label, 12 if len(labels) == 1 else 5)
            .to_dict("records")
            for label in labels
        },
        "reports": {label: results.report(label) for label in labels},
        "alike": {
            label: answer
            for label in labels
            if len(entries) > 1
            and not entries[label].is_baseline
            and (answer := results.report(label).task.only_answer(results.report(label)))
        },
        "about": about_tests(results.task),
        "class_key": figures.has_numbered_classes(results),
        "many_classes": len(results.classes) > _MANY_CLASSES,
        "most_named": figures.MOST_NAMED,
        "left_out": _left_out(table),
        "mistakes": {
            label: [_mistake(results, entries[label], *pair) for pair in entries[label].mistakes]
            for label in labels
            if entries[label].mistakes
        },
        "legend": legend(),
        "data": results.data,
        "counts": _counts(results),
    }  # fmt: skip


def _figures(results: Results, table: pd.DataFrame, labels: list[str]) -> dict[str, Any]:
    """Draws everything: lists of (label, SVG), a list a section; empty where there is nothing."""

    def panels(
        name: str, draw: Callable[..., Figure], chosen: list[str], told: str, **given: Any
    ) -> list[tuple[str, Markup]]:
        return [
            (label, inline_svg(draw(results, [label], **given), f"{name}{i}", f"{told} of {label}"))
            for i, label in enumerate(chosen)
        ]

    if not labels:
        return dict.fromkeys(("costs", "curves", "confusion", "calibration", "lengths", "classes"))
    costs = costs_known(table) if len(labels) > 1 else []
    classes = figures.f1_by_class(results, labels[0], best_baseline(table))
    return {
        "costs": [
            (
                figures.COSTS[cost],
                inline_svg(
                    figures.cost_quality(table, cost),
                    f"cost{i}",
                    f"Macro-F1 over {figures.COSTS[cost]}, a point a model; figures in the table",
                ),
            )
            for i, cost in enumerate(costs)
        ],
        "curves": panels(
            "curve",
            figures.learning_curves,
            with_curves(results, labels),
            "Loss by epoch",
            table=frames.curves(results),
        ),
        "confusion": panels("confusion", figures.confusion_matrices, labels, "Confusion matrix"),
        "calibration": panels(
            "calibration",
            figures.reliability,
            labels,
            "Reliability diagram",
            table=frames.calibration(results),
        ),
        "lengths": panels(
            "length",
            figures.accuracy_by_length,
            labels if len(results.texts) else [],
            "Accuracy by length",
            table=frames.lengths(results),
        ),
        "classes": inline_svg(classes, "classes", "F1 of each class"),
    }


def _left_out(table: pd.DataFrame) -> list[str]:
    known = table[table["macro_f1"].notna()]
    return [str(label) for label in known.index[known["macro_f1"] < figures.shown_from(known)]]


def _mistake(
    results: Results, entry: Entry, row: int, explanation: Explanation | None
) -> dict[str, Any]:
    probabilities = entry.kept.outputs[row]
    said = int(probabilities.argmax())
    return {
        "row": row + 1 if results.row_numbers is None else int(results.row_numbers[row]),
        "text": str(results.texts[row]),
        "truth": results.classes[int(results.labels[row])],
        "said": results.classes[said],
        "probability": float(probabilities[said]),
        "explanation": explanation,
        "highlighted": highlight(explanation) if explanation else "",
    }


def _counts(results: Results) -> dict[str, Any]:
    """Rows of each class: by part where the parts are known, of the test rows otherwise."""
    if results.data is not None and len(results.data.class_counts):
        counts = results.data.class_counts
    else:
        of_test = [int((results.labels == i).sum()) for i in range(len(results.classes))]
        counts = pd.DataFrame({"test": of_test}, index=list(results.classes))
    first = counts[counts.columns[0]]
    return {
        "parts": [str(c) for c in counts.columns],
        "most": max(int(first.max()), 1),
        "total": max(int(first.sum()), 1),
        "rows": [(str(name), [int(v) for v in row]) for name, row in zip(
            counts.index, counts.to_numpy(), strict=True)],
    }  # fmt: skip
