"""The page's part on answers: rows with and without an answer, and contexts with marked answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.metrics.statistics import mean_by_length
from keras_seqzoo.pages import frames
from keras_seqzoo.pages.figures import by_length
from keras_seqzoo.pages.formats import bold, count, interval
from keras_seqzoo.pages.sections import Drawing, Said, Sections

_AROUND = 240  # characters of a context to show on each side of an answer


def lengths(results: Results) -> pd.DataFrame:
    """Returns F1 of answers by words in the context, for kept runs, as in `mean_by_length`."""
    columns = ["low", "high", "rows", "f1", "low_ci", "high_ci"]
    if not len(results.texts):
        return pd.DataFrame(columns=["model", *columns])
    words = [len(frames.sides(row)[1].split()) for row in results.texts]

    def grouped(report: Any) -> pd.DataFrame:
        scores = report.task.row_scores(report.labels, report.outputs)
        return mean_by_length(scores, words).rename(columns={"mean": "f1"})

    return frames.of_kept_runs(results, grouped, columns)


def draw_lengths(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Any:
    """Draws F1 in short and long contexts with 95 % intervals; other models are faint behind."""
    table = lengths(results) if table is None else table
    return by_length(labels, columns, {"": table}, "f1", "F1 of an answer")


def marked(report: Scores, row: int, question: str, context: str) -> Markup:
    """A question, and its context twice: with the given answer, and with the true one."""
    task: Any = report.task
    true, said = task.target.spans(report.labels[[row]])[0], report.outputs[row]
    given = (said["start"], said["end"]) if said["answer"] else None
    places = [(start, end) for start, end, _ in true]

    def line(word: str, place: tuple[int, int] | None, is_right: bool, more: str = "") -> Markup:
        look = "right" if is_right else "wrong"
        shown = Markup('<mark class="{}">no answer</mark>').format(look)
        if place is not None:
            start, end = place
            before, after = max(start - _AROUND, 0), min(end + _AROUND, len(context))
            shown = Markup('{}{}<mark class="{}">{}</mark>{}{}').format(
                "… " * (before > 0), context[before:start], look, context[start:end],
                context[end:after], " …" * (after < len(context)),
            )  # fmt: skip
        whole = Markup('<div class="text" dir="auto"><small>{}</small> {}{}</div>')
        return whole.format(word, shown, more)

    is_right = given in places or (given is None and not places)
    others = [context[start:end] for start, end in places[1:]]
    more = f" (or “{'”, “'.join(others)}”)" if others else ""
    asked = Markup('<div class="text" dir="auto"><b>{}</b></div>').format(question)
    truth = given if given in places else places[0] if places else None
    return asked + line("said", given, is_right) + line("truth", truth, is_right, more)


def verdict(report: Scores, row: int) -> list[Said]:
    """The probability of the answer, and its F1."""
    task: Any = report.task
    said = report.outputs[row]
    f1 = task.row_scores(report.labels[[row]], report.outputs[[row]])[0]
    name = "answer" if said["answer"] else "no answer"
    return [Said("said", name, f"{said['probability']:.3f}"), Said("F1", number=f"{f1:.2f}")]


def about_one(results: Results, table: pd.DataFrame, label: str) -> list[Markup]:
    """The sentences about a single model."""
    report: Any = results.report(label)
    kinds = report.per_kind
    start = Markup("{} has an F1 of {:.3f}{}: {:.3f} on {} with an answer").format(
        bold(label),
        report.f1,
        interval(table, label, results.task.metric()),
        kinds["f1"].iloc[0],
        count(int(kinds["support"].iloc[0]), "question"),
    )
    without = int(kinds["support"].iloc[1])
    end = f", and it leaves {report.unanswered:.1%} of {without:,} without one unanswered."
    return [start + (end if without else ".")]


ANSWERS = Sections(
    noun="kind",
    loss="loss (nats per pointer)",
    template="answers.html.j2",
    drawings={
        "lengths": Drawing(
            "Lengths", "F1 by words of the context", draw_lengths, lengths, of_texts=True
        )
    },
    verdict=verdict,
    marked=marked,
    mistakes="Worst answers",
    about_one=about_one,
)
