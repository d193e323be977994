"""What `train` says of a training that could have gone better."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seqzoo.cli.console import say

if TYPE_CHECKING:
    from keras_seqzoo.data.series import SeriesTable
    from keras_seqzoo.data.stream import TextStream
    from keras_seqzoo.data.table import TextTable
    from keras_seqzoo.reports.report import Report

    Table = TextTable | TextStream | SeriesTable

_COUNTED = 10_000  # texts that are tokenised to find how many are cut
_LINEAR_ROWS = 50_000  # above, the linear model takes too long
_CLEARLY = 0.01  # nats a text


def cut_texts(model: Any, table: TextTable | TextStream) -> str | None:
    """Tells how many texts the model does not read to their end; None where it reads them all."""
    from keras_seqzoo.data.table import TextTable
    from keras_seqzoo.reports.single import count_texts_cut

    if isinstance(table, TextTable):
        texts: Any = table.texts
        counted = f"{len(table):,} training texts"
        if len(texts) > _COUNTED:
            texts = np.random.default_rng(0).choice(texts, _COUNTED, replace=False)
            counted = f"{_COUNTED:,} training texts, taken at random,"
    else:
        texts = next((texts for texts, _ in table.chunks()), [])[:_COUNTED]
        counted = f"the first {len(texts):,} training texts"
    cut = count_texts_cut(model, texts)
    if not cut:
        return None
    length = model.preprocessor.sequence_length
    return (
        f"{cut:,} of {counted} are longer than the {length:,} tokens that the model reads; "
        "the rest of them is left out. A larger --sequence-length N reads more, and takes longer"
    )


def still_falling(history: Mapping[str, Sequence[float]], epochs: int) -> str | None:
    """Tells that the last epoch asked for was clearly the best; None if it was not."""
    name = "val_calibrated_loss" if "val_calibrated_loss" in history else "val_loss"
    losses = history.get(name, ())
    if len(losses) < 2 or min(losses[:-1]) - losses[-1] < _CLEARLY:
        return None
    return (
        f"The {name} still fell in the last epoch, from {losses[-2]:.4f} to "
        f"{losses[-1]:.4f}. More epochs may do better: --epochs {2 * epochs}"
    )


def linear_model(train: Table, valid: Table, test: Table, report: Report) -> str | None:
    """Fits the linear model of the task's baselines on the same rows, and tells how good it is.

    Returns:
        None of a stream, of many rows, of classes without rows, and of texts without words.
    """
    from sklearn.exceptions import ConvergenceWarning

    from keras_seqzoo.comparison.baselines import BASELINES
    from keras_seqzoo.data.stream import TextStream
    from keras_seqzoo.reports.report import evaluate

    if (
        isinstance(train, TextStream)
        or train.labels is None
        # Of several labels, each has a regression of its own.
        or np.size(train.labels) > _LINEAR_ROWS
        or (report.task.target.kind == "class" and not all(train.class_counts.values()))
    ):
        return None
    task = report.task
    linear = BASELINES[task.baselines_for(train.inputs)[-1]]()
    say(f"To compare, on the same rows: {linear.title}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            linear.fit(train, None if isinstance(valid, TextStream) else valid)
        except ValueError:  # no word of two letters or more
            return None
    other = evaluate(linear, test)
    shown = {metric.name for metric in task.metrics if metric.interval}
    told = f"{linear.title}, fitted on the same rows: " + "  ".join(
        f"{name} {value:.4f}" for name, value in other.figures.items() if name in shown
    )
    first = task.metric()
    gain = other.figures[first.name] - report.figures[first.name]
    if (-gain if first.lower_is_better else gain) > 0:
        told += (
            "\nIt does better on these test rows than the model trained here. More epochs, another "
            "--model or --learning-rate may help; `keras-seqzoo compare` tries several"
        )
    return told
