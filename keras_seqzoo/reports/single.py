"""Turns one model's evaluation into `Results`, for its page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from keras_seqzoo import zoo
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.evaluation.data_summary import summarise
from keras_seqzoo.evaluation.environment import environment
from keras_seqzoo.evaluation.results import Costs, Entry, Results, Run, architecture
from keras_seqzoo.names import last_part

if TYPE_CHECKING:
    from keras_seqzoo.explanation.explanation import Explanation
    from keras_seqzoo.reports.report import Report

_MISTAKES = 10
_BLOCK = 4096  # texts that are tokenized at once


def results_of(report: Report, model: Any, table: Any, explain: bool, command: str) -> Results:
    """Collects the contents of a model's page.

    Args:
        report: the model's scores, with texts if there are any.
        model: the evaluated model; None if only its predictions are known.
        table: the evaluated table; None if only predictions are known.
        explain: whether to explain its worst mistakes.
        command: the command that makes the same page.
    """
    texts = [] if report.texts is None else report.texts.tolist()
    is_series = isinstance(table, SeriesTable)
    entry = Entry(
        runs=[Run(None, report.outputs, history=_history(model))],
        texts_cut=count_texts_cut(model, texts),
        mistakes=_mistakes(report, model if explain and not is_series else None, is_series),
        **_describe(model),
    )
    return Results(
        title="predictions" if table is None else Path(table.source).name,
        task=report.task,
        texts=texts,
        labels=report.labels,
        row_numbers=getattr(table, "row_numbers", None),
        entries=[entry],
        data=summarise(test=table) if is_series or isinstance(table, TextTable) else None,
        series=table if is_series else None,
        environment=environment(),
        commands=[command] if command else [],
    )


def _describe(model: Any) -> dict[str, Any]:
    """Describes a Keras model, or a SavedModel from its card."""
    if hasattr(model, "preprocessor"):
        is_known = model.name in zoo.list_models()
        return {
            "label": model.name,
            "description": architecture(
                zoo.model_card(model.name).description, "values" in model.served_inputs
            )
            if is_known
            else "",
            "sequence_length": model.preprocessor.sequence_length,
            "costs": Costs(parameters=model.count_params()),
        }
    card = Path(getattr(model, "path", "")) / "assets.extra" / "model_card.json"
    if hasattr(model, "path") and card.is_file():
        folder = Path(model.path).absolute()
        return {
            "label": last_part(str(folder)),
            **_describe_card(json.loads(card.read_text("utf-8"))),
        }
    return {"label": str(getattr(model, "name", "model"))}


def _describe_card(card: Mapping[str, Any]) -> dict[str, Any]:
    size = card.get("serving", {}).get("bytes")
    return {
        "description": architecture(
            (card.get("card") or {}).get("description", ""), card.get("inputs") == ["values"]
        ),
        "sequence_length": card.get("sequence_length"),
        "costs": Costs(parameters=card.get("parameters"), size_mb=size and size / 1e6),
    }


def _history(model: Any) -> dict[str, list[float]]:
    """The figures by epoch, if the model was trained in this process."""
    history = getattr(getattr(model, "history", None), "history", {})
    return {name: [float(value) for value in values] for name, values in history.items()}


def count_texts_cut(model: Any, texts: Any) -> int | None:
    """Number of texts that the model does not read to their end; None if not known."""
    preprocessor = getattr(model, "preprocessor", None)
    if preprocessor is None or not len(texts):
        return None
    cut = 0
    for start in range(0, len(texts), _BLOCK):
        tokens = preprocessor.encode(texts[start : start + _BLOCK])
        read = preprocessor.truncate(tokens)
        cut += int(np.sum(tokens.row_lengths().numpy() > read.row_lengths().numpy()))
    return cut


def _mistakes(report: Report, model: Any, is_series: bool) -> list[tuple[int, Explanation | None]]:
    """The worst answers, explained if a model is given."""
    if report.texts is None and not is_series:
        return []
    rows = report.task.worst(report.labels, report.outputs, _MISTAKES).tolist()
    if model is None or not rows:
        return [(row, None) for row in rows]
    from keras_seqzoo.explanation.explain import explain

    found = explain(model, cast(Any, report.texts)[rows], method="occlusion")
    return list(zip(rows, found, strict=True))
