"""The page's part on tagged pieces: F1 of each type, and texts with marked pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.pages import frames
from keras_seqzoo.pages.figures import f1_by_name
from keras_seqzoo.pages.formats import bold, count, interval
from keras_seqzoo.pages.sections import Drawing, Said, Sections

_MOST_CONFUSIONS = 8


def confusions(report: Any) -> list[tuple[str, str, int]]:
    """The most common confusions of types: the true type, the given type, and how often."""
    table = report.confusion
    found = [
        (str(true), str(said), int(table.loc[true, said]))
        for true in table.index
        for said in table.columns
        if true != said and table.loc[true, said]
    ]
    return sorted(found, key=lambda row: -row[2])[:_MOST_CONFUSIONS]


def context(results: Results, labels: Sequence[str]) -> dict[str, Any]:
    """The most common mistakes of the best model."""
    return {"confusions": confusions(results.report(labels[0])) if labels else []}


def _spans(report: Scores, row: int) -> tuple[list[Any], list[Any]]:
    task: Any = report.task
    return task.target.spans(report.labels[[row]])[0], task.spans(report.outputs[[row]])[0]


def marked(report: Scores, row: int, text: str) -> Markup:
    """A text twice: with the given pieces, and with the true ones."""
    true, said = _spans(report, row)

    def line(word: str, spans: list[Any], others: list[Any]) -> Markup:
        shown, at = Markup(), 0
        for span in spans:
            start, end, kind = span
            look = "right" if span in others else "wrong"
            shown += text[at:start]
            shown += Markup('<mark class="{}">{} <small>{}</small></mark>').format(
                look, text[start:end], kind
            )
            at = end
        whole = Markup('<div class="text" dir="auto"><small>{}</small> {}</div>')
        return whole.format(word, shown + text[at:])

    return line("said", said, true) + line("truth", true, said)


def verdict(report: Scores, row: int) -> list[Said]:
    """How many pieces were found, missed, and wrongly added."""
    true, said = _spans(report, row)
    right = len({*true} & {*said})
    parts = (("right", right), ("missed", len(true) - right), ("added", len(said) - right))
    return [Said(word, number=str(number)) for word, number in parts if number]


def about_one(results: Results, table: pd.DataFrame, label: str) -> list[Markup]:
    """The sentences about a single model."""
    report: Any = results.report(label)
    start = Markup("{} finds {:.1%} of {}, and {:.1%} of what it says is right: an F1 of {:.3f}{}.")
    found = [
        start.format(
            bold(label),
            report.recall,
            count(int(report.per_type["support"].sum()), "piece"),
            report.precision,
            report.f1,
            interval(table, label, results.task.metric()),
        )
    ]
    if common := confusions(report):
        true, said, times = common[0]
        text = Markup("The most common mistake: <bdi>“{}”</bdi> taken for <bdi>“{}”</bdi>, {}.")
        found.append(text.format(true, said, count(times, "time")))
    return found


TAGS = Sections(
    noun="type",
    loss="loss (nats per word)",
    template="tags.html.j2",
    drawings={
        "types": Drawing("Types", "F1 of each type", f1_by_name, frames.by_name, is_one=True)
    },
    context=context,
    verdict=verdict,
    marked=marked,
    mistakes="Texts with the most mistakes",
    about_one=about_one,
)
