"""The page's part on classes: which are confused, how confident answers are, and text lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_seqzoo.evaluation.results import Results
from keras_seqzoo.evaluation.scores import Scores
from keras_seqzoo.metrics.statistics import accuracy_by_length, calibration_bins
from keras_seqzoo.pages import frames
from keras_seqzoo.pages.drawing import BLUE, FAINT, GREY, INK, RED, wrapped
from keras_seqzoo.pages.figures import by_length, f1_by_name, panels
from keras_seqzoo.pages.formats import bold, count, interval, listed
from keras_seqzoo.pages.sections import Drawing, Said, Sections

MOST_NUMBERED = 12  # most classes of a matrix whose cells can hold numbers
MOST_DOUBTED = 10
_LONGEST_NAME = 32
_MOST_ON_AXIS = 6  # more names would leave the cells no room for their numbers
_MOST_TIED = 3


def confusion(results: Results) -> pd.DataFrame:
    """Returns counts for the kept runs: columns `model`, `true`, `predicted`, `rows`."""
    names = np.asarray(results.classes, dtype=object)

    def counted(report: Any) -> pd.DataFrame:
        counts = report.confusion.to_numpy()
        true, predicted = np.indices(counts.shape).reshape(2, -1)
        return pd.DataFrame(
            {"true": names[true], "predicted": names[predicted], "rows": counts.ravel()}
        )

    return frames.of_kept_runs(results, counted, ["true", "predicted", "rows"])


def calibration(results: Results) -> pd.DataFrame:
    """Returns bins of confidence for kept runs: `model` and the columns of `calibration_bins`."""
    return frames.of_kept_runs(results, lambda r: calibration_bins(r.labels, r.outputs))


def lengths(results: Results) -> pd.DataFrame:
    """Returns accuracy by words in a text, for kept runs: the columns of `accuracy_by_length`."""
    columns = ["low", "high", "rows", "accuracy", "low_ci", "high_ci"]
    if not len(results.texts):  # from a stream, only answers are kept
        return pd.DataFrame(columns=["model", *columns])
    words = frames.words(results)
    return frames.of_kept_runs(
        results,
        lambda r: accuracy_by_length(r.labels, r.task.chosen(r.outputs), words),
        columns,
    )


def coverage(results: Results) -> pd.DataFrame:
    """Returns the error by share answered, for kept runs: the columns of `coverage_curve`."""
    shares = np.linspace(1, 0, 100, endpoint=False).round(2)

    def curve(report: Any) -> pd.DataFrame:
        return report.task.coverage(report.labels, report.outputs, shares).reset_index()

    return frames.of_kept_runs(results, curve, ["coverage", "threshold", "rows", "wrong", "error"])


def frequent_confusions(results: Results, label: str, most: int = 10) -> pd.DataFrame:
    """Returns the most common mistakes of a model's kept run.

    Returns:
        Columns `true`, `predicted`, `rows`, and `share` of the rows of the true class; the most
        frequent first.
    """
    report = results.report(label)
    counts = report.confusion.to_numpy().copy()
    of_class = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts.ravel(), kind="stable")[:most]
    rows = [
        {
            "true": results.classes[true],
            "predicted": results.classes[predicted],
            "rows": int(counts[true, predicted]),
            "share": counts[true, predicted] / of_class[true],
        }
        for true, predicted in zip(*np.unravel_index(order, counts.shape), strict=True)
        if counts[true, predicted]
    ]
    return pd.DataFrame(rows, columns=["true", "predicted", "rows", "share"])


def doubtful(results: Results) -> pd.DataFrame:
    """Returns test rows for which all models give the same other class: labels that may be wrong.

    Returns:
        Columns `row`, `label`, `likely` (the models' answer) and `of_label` (the mean of their kept
        runs' probabilities of the label), the least likely labels first. There are no rows for
        a single model, or if texts are not kept. The baseline `majority` does not count.
    """
    columns = ["row", "label", "likely", "of_label"]
    asked = [results.report(label) for label in results.reports if label != "majority"]
    if len(asked) < 2 or not len(results.texts):
        return pd.DataFrame(columns=columns)
    said = np.stack([report.outputs.argmax(axis=1) for report in asked])
    alike = (said == said[0]).all(axis=0) & (said[0] != results.labels)
    names = np.asarray(results.classes, dtype=object)
    of_label = np.mean([r.outputs for r in asked], axis=0)[np.arange(len(alike)), results.labels]
    values = (np.arange(len(alike)), names[results.labels], names[said[0]], of_label)
    table = pd.DataFrame(dict(zip(columns, values, strict=True)))[alike]
    return table.sort_values("of_label", kind="stable")


def confusion_matrices(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws counts, with a row for each true class, shaded by their share of the row.

    With many classes or long names, the axes number the classes from 1 (see
    `has_numbered_classes`). With more than `MOST_NUMBERED` classes, cells have no numbers.

    Args:
        results: the models.
        labels: labels of the models.
        columns: panels side by side.
        table: unused.
    """
    count = len(results.classes)
    names = [wrapped(name, 16) for name in results.classes]
    plain = not has_numbered_classes(results)
    across = plain and count <= 4 and max(map(len, results.classes)) <= 9

    def draw(axes: Axes, label: str) -> None:
        counts = results.report(label).confusion.to_numpy()
        of_class = counts.sum(axis=1, keepdims=True)
        shares = counts / np.where(of_class, of_class, 1)
        axes.grid(False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(True)
        if count > MOST_NUMBERED:
            axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="none")
            ticks = np.unique([0, *range(9, count, 10 if count <= 60 else 20)])
            axes.set_xticks(ticks, [str(t + 1) for t in ticks])
            axes.set_yticks(ticks, [str(t + 1) for t in ticks])
            return
        axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
        axes.invert_yaxis()
        numbers = [str(i + 1) for i in range(count)]
        middle = np.arange(count) + 0.5
        axes.set_xticks(middle, names if across else numbers)
        rows = names if across else [f"{n}  {i}" for n, i in zip(names, numbers, strict=True)]
        axes.set_yticks(middle, rows if plain else numbers)
        digits = max(len(f"{counts.max():,}") * count, 1)
        for (row, column), value in np.ndenumerate(counts):
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{value:,}",
                ha="center",
                va="center",
                fontsize=min(10.0, 250 / max(digits, 25)),
                color="white" if shares[row, column] > 0.55 else INK if value else GREY,
            )

    return panels(labels, columns, 2.7 if count <= 5 else 3.0, draw)


def has_numbered_classes(results: Results) -> bool:
    """Whether `confusion_matrices` writes numbers in place of the names of classes."""
    longest = max(map(len, results.classes))
    return len(results.classes) > _MOST_ON_AXIS or longest > _LONGEST_NAME


def reliability(
    results: Results,
    labels: Sequence[str],
    columns: int = 1,
    table: pd.DataFrame | None = None,
) -> Figure:
    """Draws how often answers with a given confidence are right, and how many rows have it."""
    table = calibration(results) if table is None else table
    rows_most = float(table["rows"].max())
    left = float(table.loc[table["rows"] > 0, "low"].min()) - 0.02
    ticks = [tick for tick in np.linspace(0, 1, 6) if tick >= left]

    def draw(axes: Axes, label: str) -> None:
        bins = table[(table["model"] == label) & (table["rows"] > 0)]
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, linestyle=":")
        axes.vlines(bins["confidence"], bins["confidence"], bins["accuracy"], color=RED, lw=1.2)
        axes.plot(bins["confidence"], bins["accuracy"], "o-", color=BLUE, markersize=4)
        axes.set(xlim=(left, 1.02), ylim=(-0.02, 1.02), ylabel="share right")
        axes.set_xticks(ticks, [""] * len(ticks))
        axes.set_yticks(np.linspace(0, 1, 6))

    def draw_rows(axes: Axes, label: str) -> None:
        bins = table[table["model"] == label]
        width = bins["high"] - bins["low"]
        axes.bar(bins["low"], bins["rows"], width * 0.92, align="edge", color="#9db4c8")
        axes.set(xlim=(left, 1.02), ylim=(0, rows_most * 1.08), xlabel="confidence", ylabel="rows")
        axes.set_xticks(ticks)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))

    return panels(labels, columns, 3.2, draw, draw_rows)


def draw_coverage(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws the error by share answered, and the decision; other models are faint behind."""
    table = coverage(results) if table is None else table
    highest = max(float(table["error"].max()) * 1.08, 0.01)

    def draw(axes: Axes, label: str) -> None:
        for name, curve in table.groupby("model", sort=False):
            own = name == label
            axes.plot(
                curve["coverage"],
                curve["error"],
                color=BLUE if own else FAINT,
                lw=1.8 if own else 1,
                zorder=3 if own else 1,
            )
        figures = results.report(label).figures
        if figures.get("answered"):
            axes.plot(figures["answered"], figures["answered_error"], "o", color=RED, zorder=4)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02 * highest, highest))
        axes.set(xlabel="share answered", ylabel="error of the answered")

    return panels(labels, columns, 2.4, draw)


def accuracy_of_lengths(
    results: Results, labels: Sequence[str], columns: int = 1, table: pd.DataFrame | None = None
) -> Figure:
    """Draws accuracy by length of text with 95 % intervals; other models are faint behind."""
    table = lengths(results) if table is None else table
    return by_length(labels, columns, {"": table}, "accuracy", "accuracy")


def verdict(report: Scores, row: int) -> list[Said]:
    """The given class of a test row, and its true class."""
    said = report.task.decode(report.outputs[[row]])[0]
    return [
        Said("said", said["label"], f"{said['probability']:.3f}"),
        Said("truth", report.classes[int(report.labels[row])]),
    ]


def about_one(results: Results, table: pd.DataFrame, label: str) -> list[Markup]:
    """The sentences about a single model."""
    report = results.report(label)
    decided = []
    if "answered" in report.figures:
        told = Markup(
            "It answers “unsure” for {:.1%}, which count here with their most probable class; of "
            "its other answers {:.2%} are wrong."
        )
        decided.append(told.format(1 - report.answered, report.answered_error))
    start = Markup(
        "{} answers {} of {} right, an accuracy of {:.3f}{}, with a macro-F1 of {:.3f}."
    ).format(
        bold(label),
        f"{int(report.confusion.to_numpy().diagonal().sum()):,}",
        count(len(results.labels), results.noun),
        report.accuracy,
        interval(table, label, results.task.metric("accuracy")),
        report.macro_f1,
    )
    confused = frequent_confusions(results, label, most=len(results.classes) ** 2)
    if confused.empty:
        return [start, *decided, Markup("It makes no mistake here.")]
    top = confused[confused["rows"] == confused["rows"].max()]
    shown = [
        Markup("<bdi>“{}”</bdi> for <bdi>“{}”</bdi>").format(c["true"], c["predicted"])
        for _, c in top.head(_MOST_TIED).iterrows()
    ]
    if len(top) > _MOST_TIED:
        shown.append(Markup("{:,} more").format(len(top) - _MOST_TIED))
    texts = count(int(top["rows"].iloc[0]), results.noun)
    if len(top) == 1:
        share = f"{top['share'].iloc[0]:.0%}"
        end = Markup("Its most common mistake is to take {}: {}, {} of that class.").format(
            shown[0], texts, share
        )
    else:
        end = Markup("Its most common mistakes, {} each, are to take {}.").format(
            texts, Markup(listed(shown))
        )
    return [start, *decided, end]


def context(results: Results, labels: Sequence[str]) -> dict[str, Any]:
    """The template's data: the most common confusions of each model, and doubtful labels."""
    most = 12 if len(labels) == 1 else 5
    doubted = doubtful(results)
    return {
        "doubted": len(doubted),
        "doubtful": [
            {
                **row,
                "place": results.place(row["row"]),
                "texts": frames.sides(results.texts[row["row"]]),
            }
            for row in doubted.head(MOST_DOUBTED).to_dict("records")
        ],
        "confusions": {
            label: frequent_confusions(results, label, most).to_dict("records") for label in labels
        },
        "class_key": has_numbered_classes(results),
    }


CLASSES = Sections(
    noun="class",
    loss="loss (nats)",
    hidden=frozenset({"weighted_f1"}),
    template="classes.html.j2",
    drawings={
        "confusion": Drawing("Confusion", "Confusion matrix", confusion_matrices, confusion),
        "calibration": Drawing("Calibration", "Reliability diagram", reliability, calibration),
        "coverage": Drawing("Coverage", "Error by share answered", draw_coverage, coverage),
        "lengths": Drawing(
            "Lengths", "Accuracy by length", accuracy_of_lengths, lengths, of_texts=True
        ),
        "classes": Drawing("Classes", "F1 of each class", f1_by_name, frames.by_name, is_one=True),
    },
    context=context,
    verdict=verdict,
    mistakes="Most confident mistakes",
    about_one=about_one,
)
