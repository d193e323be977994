"""The page's figures as pictures, and its numbers as CSV and JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from keras_seqzoo.evaluation.choose import neighbours
from keras_seqzoo.evaluation.leaderboard import leaderboard
from keras_seqzoo.evaluation.results import Entry, Results
from keras_seqzoo.files import whole
from keras_seqzoo.pages import figures, frames
from keras_seqzoo.pages.drawing import png

_FRAMES: dict[str, Callable[[Results], pd.DataFrame]] = {
    "curves": frames.curves,
    "confusion": frames.confusion,
    "calibration": frames.calibration,
    "classes": frames.classes,
    "lengths": frames.lengths,
}


def write_figures(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes the figures of the page as PNG files, 200 dots an inch.

    Args:
        results: what the page is made of.
        folder: is made where it does not exist; files of the same names are replaced.

    Returns:
        The files: `cost_p95_ms.png`, `cost_size_mb.png`, `cost_training_s.png`,
        `learning_curves.png`, `confusion.png`, `calibration.png`, `lengths.png`, `classes.png`,
        of these the ones that there are figures for.

    Raises:
        ValueError: `folder` is a file, or cannot be written.
    """
    place = make_folder(folder)
    return [
        write_atomically(place / f"{name}.png", png(figure()))
        for name, figure in drawable(results).items()
    ]


def drawable(results: Results) -> dict[str, Callable[[], Figure]]:
    """Returns the figures that there are numbers for: file names without ending, and drawers."""
    table = leaderboard(results)
    labels = [str(label) for label in table.index if label in results.reports]
    found: dict[str, Callable[[], Figure]] = {}
    if not labels:
        return found
    if len(labels) > 1:
        for cost in costs_known(table):
            found[f"cost_{cost}"] = partial(figures.cost_quality, table, cost)
    columns = 1 if len(labels) == 1 else 2 if len(labels) <= 4 else 3
    trained = with_curves(results, labels)
    if trained:
        found["learning_curves"] = lambda: figures.learning_curves(results, trained, columns)
    found["confusion"] = lambda: figures.confusion_matrices(results, labels, columns)
    found["calibration"] = lambda: figures.reliability(results, labels, columns)
    if len(results.texts):
        found["lengths"] = lambda: figures.accuracy_by_length(results, labels, columns)
    baseline = best_baseline(table)
    found["classes"] = lambda: figures.f1_by_class(results, labels[0], baseline)
    return found


def costs_known(table: pd.DataFrame) -> list[str]:
    """The costs that at least two models of a leaderboard have, so that there is a choice."""
    answering = table[table["macro_f1"].notna()]
    return [cost for cost in figures.COSTS if (answering[cost].astype(float) > 0).sum() > 1]


def with_curves(results: Results, labels: list[str]) -> list[str]:
    """Those of the labels whose runs have losses by epoch."""
    table = frames.curves(results)
    trained = set(table.loc[table["loss"].notna(), "model"]) if "loss" in table else set()
    return [label for label in labels if label in trained]


def best_baseline(table: pd.DataFrame) -> str | None:
    """Label of the baseline with the highest macro-F1; None without one."""
    found = table.index[table["baseline"].astype(bool) & table["macro_f1"].notna()]
    return str(found[0]) if len(found) else None


def write_data(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes the numbers of the page.

    Args:
        results: what the page is made of.
        folder: is made where it does not exist; files of the same names are replaced.

    Returns:
        The files: `leaderboard.csv`; a row a number in `curves.csv`, `confusion.csv`,
        `calibration.csv`, `classes.csv` and `lengths.csv`; and all of it by model in
        `results.json`, which has null for what was not measured.

    Raises:
        ValueError: `folder` is a file, or cannot be written.
    """
    place = make_folder(folder)
    tables = {"leaderboard": leaderboard(results).reset_index()}
    tables |= {name: make(results) for name, make in _FRAMES.items()}
    written = [
        write_atomically(place / f"{name}.csv", table.to_csv(index=False).encode())
        for name, table in tables.items()
    ]
    text = json.dumps(_as_dict(results), ensure_ascii=False, indent=1, allow_nan=False)
    return [*written, write_atomically(place / "results.json", text.encode())]


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Makes a folder for the files where there is none.

    Raises:
        ValueError: there is a file, or it can not be made.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            "Files need a folder that exists or can be made. "
            f"Received: {place} ({error.strerror or error})"
        ) from error
    return place


def check_place(path: Path) -> None:
    """Checks that a file could be written, before the work of making it.

    Raises:
        ValueError: a folder stands there, or the folder around it cannot be written.
    """
    if path.is_dir():
        raise ValueError(f"The path must name a file, and this is a folder. Received: {path}")
    if not path.parent.is_dir():
        raise _unwritable(path, "no such folder")
    if not os.access(path.parent, os.W_OK):
        raise _unwritable(path, "permission denied")


def write_atomically(path: Path, content: bytes) -> Path:
    """Writes a file whole or not at all; raises as `check_place`, and where the disk is full."""
    check_place(path)
    try:
        with whole(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    return path


def _unwritable(path: Path, why: str) -> ValueError:
    return ValueError(
        "The file cannot be written. Give a path in a folder that exists and may be written. "
        f"Received: {path} ({why})"
    )


def _as_dict(results: Results) -> dict[str, Any]:
    table = leaderboard(results)
    by_model = {name: make(results) for name, make in _FRAMES.items()}
    models = []
    for label in table.index:
        entry = next(e for e in results.entries if e.label == label)
        models.append(
            {
                "label": label,
                "description": entry.description,
                "baseline": entry.is_baseline,
                "options": dict(entry.options),
                "leaderboard": table.loc[label].to_dict(),
                "runs": _runs(results, entry),
                **{
                    name: frame[frame["model"] == label].drop(columns="model").to_dict("records")
                    for name, frame in by_model.items()
                },
            }
        )
    plain: dict[str, Any] = _plain(
        {
            "title": results.title,
            "classes": list(results.classes),
            "rows": len(results.labels),
            "settings": dict(results.settings),
            "environment": dict(results.environment),
            "commands": list(results.commands),
            "seconds": results.seconds,
            "models": models,
            "differences": [vars(difference) for difference in neighbours(results)],
            "data": results.data.as_dict() if results.data else None,
        }
    )
    return plain


def _runs(results: Results, entry: Entry) -> list[dict[str, Any]]:
    return [
        {
            "seed": run.seed,
            "kept": run is entry.kept,
            "valid_loss": run.valid_loss,
            "seconds": run.seconds,
            "stopped": run.stopped,
            **report.to_dict(),
        }
        for run, report in zip(entry.runs, results.reports.get(entry.label, []), strict=True)
    ]


def _plain(value: Any) -> Any:
    """Returns lists, dicts, numbers and text for JSON, which has no NaN and no infinity."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
