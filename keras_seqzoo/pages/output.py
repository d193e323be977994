"""Writes the page's figures as pictures, and its numbers as CSV and JSON."""

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
from keras_seqzoo.pages.by_task import sections_of
from keras_seqzoo.pages.drawing import png
from keras_seqzoo.pages.sections import Drawing


def write_figures(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes the figures of the page as PNG files, with 200 dots per inch.

    Args:
        results: the data of the page.
        folder: created if it does not exist; files of the same names are replaced.

    Returns:
        The files that were written: `cost_p95_ms.png`, `cost_size_mb.png`, `cost_training_s.png`,
        `learning_curves.png` and those of the task's drawings, such as `confusion.png`. Figures
        without numbers are left out.

    Raises:
        ValueError: `folder` is a file, or cannot be written.
    """
    place = make_folder(folder)
    return [
        write_atomically(place / f"{name}.png", png(figure()))
        for name, figure in drawable(results).items()
    ]


def drawable(results: Results) -> dict[str, Callable[[], Figure]]:
    """Returns the figures that have numbers: names of files without ending, and functions."""
    table = leaderboard(results)
    labels = [str(label) for label in table.index if label in results.reports]
    found: dict[str, Callable[[], Figure]] = {}
    if not labels:
        return found
    for cost in costs_known(table):
        found[f"cost_{cost}"] = partial(figures.cost_quality, table, cost, results.task.metric())
    columns = 1 if len(labels) == 1 else 2 if len(labels) <= 4 else 3
    sections = sections_of(results.task)
    if trained := with_curves(results, labels):
        found["learning_curves"] = partial(
            figures.learning_curves, results, trained, columns, title=sections.loss
        )
    for name, drawing in drawings_of(results).items():
        found[name] = partial(drawing.draw, results, labels, columns)
    return found


def drawings_of(results: Results) -> dict[str, Drawing]:
    """The task's drawings whose data is complete, by name."""
    drawings = sections_of(results.task).drawings
    has_texts = len(results.texts) > 0
    return {name: d for name, d in drawings.items() if has_texts or not d.of_texts}


def costs_known(table: pd.DataFrame) -> list[str]:
    """The costs that at least two models of a leaderboard have."""
    costs = table.loc[table["runs"] > 0, list(figures.COSTS)].astype(float)
    return [cost for cost in figures.COSTS if (costs[cost] > 0).sum() > 1]


def with_curves(results: Results, labels: list[str]) -> list[str]:
    """The labels whose runs have losses by epoch."""
    table = frames.curves(results)
    trained = set(table.loc[table["loss"].notna(), "model"]) if "loss" in table else set()
    return [label for label in labels if label in trained]


def data_frames(results: Results) -> dict[str, pd.DataFrame]:
    """The numbers of the figures by name: learning curves, and those of the task's drawings."""
    drawings = sections_of(results.task).drawings
    return {"curves": frames.curves(results)} | {
        name: drawing.table(results) for name, drawing in drawings.items()
    }


def write_data(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Writes the numbers of the page.

    Args:
        results: the data of the page.
        folder: created if it does not exist; files of the same names are replaced.

    Returns:
        The files: `leaderboard.csv`; `curves.csv` and those of the task's drawings, such as
        `confusion.csv`, with a row for each number; and `results.json`, with all of it by model,
        and null for values that were not measured.

    Raises:
        ValueError: `folder` is a file, or cannot be written.
    """
    place = make_folder(folder)
    made = data_frames(results)
    tables = {"leaderboard": leaderboard(results).reset_index()} | made
    written = [
        write_atomically(place / f"{name}.csv", table.to_csv(index=False).encode())
        for name, table in tables.items()
    ]
    text = json.dumps(_as_dict(results, made), ensure_ascii=False, indent=1, allow_nan=False)
    return [*written, write_atomically(place / "results.json", text.encode())]


def make_folder(folder: str | os.PathLike[str]) -> Path:
    """Makes a folder for the files if there is none.

    Raises:
        ValueError: there is a file of that name, or the folder cannot be made.
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
        ValueError: the path is a folder, or its parent folder cannot be written to.
    """
    if path.is_dir():
        raise ValueError(f"The path must name a file, and this is a folder. Received: {path}")
    if not path.parent.is_dir():
        raise _unwritable(path, "no such folder")
    if not os.access(path.parent, os.W_OK):
        raise _unwritable(path, "permission denied")


def write_atomically(path: Path, content: bytes) -> Path:
    """Writes a file completely or not at all. Raises like `check_place`, or on a full disk."""
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


def _as_dict(results: Results, made: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    table = leaderboard(results)
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
                    for name, frame in made.items()
                },
            }
        )
    plain: dict[str, Any] = _plain(
        {
            "title": results.title,
            "task": results.task.as_dict(),
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
