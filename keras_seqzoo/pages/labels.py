"""The page's part on several labels per text: precision and recall of each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.metrics.statistics import mean_by_length
from keras_seqzoo.pages import frames
from keras_seqzoo.pages.drawing import BLUE, GREY, RED
from keras_seqzoo.pages.figures import by_length, f1_by_name, panels
from keras_seqzoo.pages.formats import bold, count, interval
from keras_seqzoo.pages.sections import Drawing, Said, Sections

ALL = "all labels"
_FEW = 8  # most labels whose lines do not hide each other
_RECALLS = np.linspace(0, 1, 101)


def precision_recall(results: Results) -> pd.DataFrame:
    """Returns precision by recall for kept runs: `model`, `label`, `recall`, `precision`.

    Recalls are 0, 0.01, …, 1. Each precision is the highest at that recall or above. The label
    "all labels" combines the answers to all labels. Labels that no row has are left out.
    """

    def curves(report: Any) -> pd.DataFrame:
        truth = report.labels > 0
        columns = [(ALL, truth.ravel(), report.outputs.ravel())] + [
            (name, truth[:, i], report.outputs[:, i]) for i, name in enumerate(results.task.names)
        ]
        found = [_curve(name, real, said) for name, real, said in columns if real.any()]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame()

    return frames.of_kept_runs(results, curves, ["label", "recall", "precision"])


def _curve(name: str, real: npt.NDArray[Any], said: npt.NDArray[Any]) -> pd.DataFrame:
    precision, recall, _ = precision_recall_curve(real, said)
    precision, recall = precision[:-1], recall[:-1]  # drop the precision of 1 at recall 0
    best = np.maximum.accumulate(precision)  # recall falls
    at = len(recall) - 1 - np.searchsorted(recall[::-1], _RECALLS - 1e-12)
    return pd.DataFrame({"label": name, "recall": _RECALLS, "precision": best[at]})


def draw_precision_recall(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws precision by recall, strong for all labels, faint for each; dots mark thresholds."""
    table = precision_recall(results) if table is None else table

    def draw(axes: Axes, label: str) -> None:
        for name, curve in table[table["model"] == label].groupby("label", sort=False):
            strong = name == ALL
            axes.plot(
                curve["recall"],
                curve["precision"],
                color=BLUE if strong else GREY,
                lw=1.8 if strong else 0.8,
                alpha=1 if strong else 0.6 if len(results.task.names) <= _FEW else 0.3,
                zorder=3 if strong else 2,
            )
        report: Any = results.report(label)
        found = report.per_label[report.per_label["support"] > 0]
        axes.plot(found["recall"], found["precision"], "o", color=GREY, ms=2.5, zorder=2)
        said, truth = report.task.chosen_labels(report.outputs), report.labels > 0
        hits = (said & truth).sum()
        if hits:
            axes.plot(hits / truth.sum(), hits / said.sum(), "o", color=RED, ms=5.5, zorder=4)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="recall", ylabel="precision")

    return panels(labels, columns, 3.0, draw)


def lengths(results: Results) -> pd.DataFrame:
    """Returns F1 of a text's labels by its words, for kept runs, as in `mean_by_length`."""
    columns = ["low", "high", "rows", "sample_f1", "low_ci", "high_ci"]
    if not len(results.texts):
        return pd.DataFrame(columns=["model", *columns])
    words = frames.words(results)

    def grouped(report: Any) -> pd.DataFrame:
        scores = report.task.row_scores(report.labels, report.outputs)
        return mean_by_length(scores, words).rename(columns={"mean": "sample_f1"})

    return frames.of_kept_runs(results, grouped, columns)


def draw_lengths(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws F1 by length of text with 95 % intervals; other models are faint behind."""
    table = lengths(results) if table is None else table
    return by_length(labels, columns, {"": table}, "sample_f1", "F1 of a text")


def verdict(report: Scores, row: int) -> list[Said]:
    """Labels of a test row that were missed, wrongly added, and found."""
    task: Any = report.task
    given, has = task.chosen_labels(report.outputs[[row]])[0], report.labels[row] > 0
    kinds = (("missed", has & ~given), ("added", given & ~has), ("right", given & has))
    return [
        Said(word, task.names[i], f"{report.outputs[row, i]:.3f}")
        for word, which in kinds
        for i in np.flatnonzero(which)
    ]


def about_one(results: Results, table: pd.DataFrame, label: str) -> list[Markup]:
    """The sentences about a single model."""
    report: Any = results.report(label)
    right = (report.task.chosen_labels(report.outputs) == (report.labels > 0)).all(axis=1)
    start = Markup(
        "{} gives {} of {} all of their labels and no other, with a macro-F1 of {:.3f}{}."
    ).format(
        bold(label),
        f"{right.sum():,}",
        count(len(right), "text"),
        report.macro_f1,
        interval(table, label, results.task.metric()),
    )
    found = report.per_label[report.per_label["support"] > 0].sort_values("f1", kind="stable")
    if len(found) < 2:
        return [start]
    worst, best = found.iloc[0], found.iloc[-1]
    end = Markup("It finds <bdi>“{}”</bdi> best, with an F1 of {:.3f}, and <bdi>“{}”</bdi> worst, ")
    end += Markup("with {:.3f} in {}.")
    texts = count(int(worst["support"]), "text")
    return [start, end.format(best.name, best["f1"], worst.name, worst["f1"], texts)]


LABELS = Sections(
    noun="label",
    loss="loss (nats)",
    template="labels.html.j2",
    drawings={
        "precision_recall": Drawing(
            "Precision and recall", "Precision by recall", draw_precision_recall, precision_recall
        ),
        "lengths": Drawing(
            "Lengths", "F1 of a text by length", draw_lengths, lengths, of_texts=True
        ),
        "labels": Drawing("Labels", "F1 of each label", f1_by_name, frames.by_name, is_one=True),
    },
    verdict=verdict,
    mistakes="Texts furthest from their labels",
    about_one=about_one,
)
