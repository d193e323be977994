"""`render` makes one self-contained HTML page from results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from keras_seqzoo.evaluation.choose import about_tests, neighbours
from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Entry, Results
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.explanation.rendering import highlight, legend
from keras_seqzoo.pages import figures, formats, frames
from keras_seqzoo.pages.by_task import sections_of
from keras_seqzoo.pages.drawing import inline_svg
from keras_seqzoo.pages.output import (
    check_place,
    costs_known,
    drawings_of,
    with_curves,
    write_atomically,
)
from keras_seqzoo.pages.ranking import ranking
from keras_seqzoo.pages.story import summary
from keras_seqzoo.tasks.base import Metric

_TEMPLATES = Path(__file__).parent / "templates"
_MANY_NAMES = 15


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
        "alike": formats.alike,
        "decimals": formats.fixed,
        "listed": formats.listed,
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
    """Writes the page of `render` as UTF-8, completely or not at all.

    Args:
        results: at least one entry.
        path: the file, which is replaced if it exists.

    Returns:
        The path.

    Raises:
        ValueError: no entries, `path` is a folder, or it cannot be written.
    """
    path = Path(path)
    check_place(path)
    # A lone surrogate cannot be written in UTF-8; the page shows it as a question mark.
    return write_atomically(path, render(results).encode("utf-8", "replace"))


def _context(results: Results) -> dict[str, Any]:
    table = leaderboard(results)
    tested = neighbours(results)
    labels = [str(label) for label in table.index if label in results.reports]
    entries = {entry.label: entry for entry in results.entries}
    task, sections = results.task, sections_of(results.task)
    metrics = [m for m in task.metrics if m.name not in sections.hidden]
    return {
        "results": results,
        "sections": sections,
        "single": len(results.entries) == 1,
        "labels": labels,
        "models": [entries[str(label)] for label in table.index],
        "rows": len(results.labels),
        "noun": results.noun,
        "drawn": f"the test {results.noun}s"
        + ", in blocks of neighbours" * (results.blocks is not None),
        "seeds": max(len(entry.runs) for entry in results.entries),
        "summary": summary(results, table, tested),
        "ranking": ranking(results, table),
        "metric": task.metric(),
        "lower": [m.title for m in metrics if m.lower_is_better],
        "baseline": frames.best_baseline(table),
        "tested": [(d, _difference(task.metric(d.metric), d.difference)) for d in tested],
        "compared": task.metric(tested[0].metric) if tested else None,
        "links": {
            name: drawing.link for name, drawing in drawings_of(results).items() if labels
        },
        "figures": _figures(results, table, labels),
        "reports": {label: results.report(label) for label in labels},
        "alike": {
            label: answer
            for label in labels
            if len(entries) > 1
            and not entries[label].is_baseline
            and (answer := task.only_answer(results.report(label)))
        },
        "about": about_tests(results),
        "many": len(task.names) > _MANY_NAMES,
        "most_named": figures.MOST_NAMED,
        "left_out": [
            str(label) for label in labels if not figures.is_drawn(table, task.metric())[label]
        ],
        "mistakes": {
            label: [_mistake(results, entries[label], *pair) for pair in entries[label].mistakes]
            for label in labels
            if entries[label].mistakes
        },
        "legend": legend(task.outcome)
        if any(explained for e in results.entries for _, explained in e.mistakes)
        else "",
        "data": results.data,
        "counts": _counts(results),
        "doubtful": [],
        **sections.context(results, labels),
    }  # fmt: skip


def _difference(metric: Metric, difference: float) -> str:
    if not metric.lower_is_better:
        return formats.points(difference)
    return ("+" if difference > 0 else "") + formats.metric_text(metric, difference)


def _figures(results: Results, table: pd.DataFrame, labels: Sequence[str]) -> dict[str, Any]:
    """Draws all figures: for each section a list of (label, SVG), or one SVG for all models."""
    metric = results.task.metric()
    found: dict[str, Any] = {
        "costs": [
            (
                figures.COSTS[cost],
                inline_svg(
                    figures.cost_quality(table, cost, metric),
                    f"cost{i}",
                    f"{metric.title} over {figures.COSTS[cost]}, a point for each model; figures "
                    "in the table",
                ),
            )
            for i, cost in enumerate(costs_known(table))
        ],
        "curves": [
            (
                label,
                inline_svg(
                    figures.learning_curves(results, [label], title=sections_of(results.task).loss),
                    f"curve{i}",
                    f"Loss by epoch of {label}",
                ),
            )
            for i, label in enumerate(with_curves(results, list(labels)))
        ],
    }
    for name, drawing in drawings_of(results).items() if labels else ():
        if drawing.is_one:
            found[name] = inline_svg(drawing.draw(results, labels), name, drawing.told)
            continue
        numbers = drawing.table(results)
        found[name] = [
            (
                label,
                inline_svg(
                    drawing.draw(results, [label], table=numbers),
                    f"{name}{i}",
                    f"{drawing.told} of {label}",
                ),
            )
            for i, label in enumerate(labels)
        ]
    return found


def _mistake(
    results: Results, entry: Entry, row: int, explanation: Explanation | None
) -> dict[str, Any]:
    report, sections = results.report(entry.label), sections_of(results.task)
    texts = frames.sides(results.texts[row]) if len(results.texts) else []
    return {
        "place": results.place(row),
        "texts": texts,
        "said": sections.verdict(report, row),
        "marked": sections.marked(report, row, *texts) if texts else "",
        "explanation": explanation,
        "highlighted": highlight(explanation) if explanation else "",
    }


def _counts(results: Results) -> dict[str, Any] | None:
    """Rows of each class or label, by part if the parts are known, else for the test rows."""
    if not results.classes:
        return None
    if results.data is not None and len(results.data.class_counts):
        counts = results.data.class_counts
        total = int(results.data.parts["rows"][counts.columns[0]])
    else:
        of_test = results.task.target.counts(results.labels)
        counts = pd.DataFrame({"test": of_test}, index=list(results.classes))
        total = len(results.labels)
    return {
        "parts": [str(c) for c in counts.columns],
        "most": max(int(counts[counts.columns[0]].max()), 1),
        "total": max(total, 1),
        "rows": [(str(name), [int(v) for v in row]) for name, row in zip(
            counts.index, counts.to_numpy(), strict=True)],
    }  # fmt: skip
