"""Folders of exported versions: lists them, and checks that a new one fits the last."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_seqzoo.files import check_exists

_NUMBER = re.compile("[0-9]{1,19}")  # names that TensorFlow Serving reads as versions
CARD = Path("assets.extra") / "model_card.json"
SAVED_MODEL = "saved_model"  # also the format of versions whose card names none


def numbered(directory: Path) -> dict[int, Path]:
    """Finds the entries of a folder whose names are whole numbers, lowest first.

    Raises:
        OSError: there is no such folder, or it cannot be read.
    """
    found = {int(p.name): p for p in sorted(directory.iterdir()) if _NUMBER.fullmatch(p.name)}
    return dict(sorted(found.items()))


def versions(directory: str | os.PathLike[str]) -> list[int]:
    """Lists the versions in an export folder, lowest first; none if there is no folder."""
    return list(numbered(Path(directory))) if Path(directory).is_dir() else []


def find_version(path: Path) -> Path:
    """Returns the path itself if it is a version's folder, else the highest version in it.

    Raises:
        FileNotFoundError: neither.
    """
    if (path / "saved_model.pb").is_file() or (path / CARD).is_file():
        return path
    found = versions(path)
    if not found:
        raise FileNotFoundError(
            "There is no SavedModel: neither saved_model.pb nor a numbered version folder. "
            f"Check the path, or export one. Received: {path}"
        )
    return path / str(found[-1])


def check_model_path(path: str | os.PathLike[str]) -> None:
    """Checks for a `.keras` file or an export, without importing TensorFlow.

    Raises:
        FileNotFoundError: nothing there.
    """
    if Path(path).suffix == ".keras":
        check_exists(path)
    else:
        find_version(Path(path))


def check_answers(directory: str | os.PathLike[str], card: Mapping[str, Any]) -> None:
    """Raises an error if a new version is not compatible with the newest one in its folder.

    A server silently replaces the old version with a new one, and its clients read labels by name
    and probabilities by position.

    Args:
        directory: the folder of the versions.
        card: the known part of the new version's card: `task` as its `as_dict` returns it,
            `inputs`, and `signatures`.

    Raises:
        ValueError: the newest version is of another task, has other names or another order of
            them, takes other inputs, or has a signature that the new one lacks.
    """
    newest = versions(directory)[-1:]
    old = read_card(Path(directory) / str(newest[0])) if newest else {}
    if not old:
        return
    lost = sorted({*old.get("signatures", ())} - {*card.get("signatures", old["signatures"])})
    of_old, of_new = describe_card(old), describe_card(card)
    if of_old == of_new and not lost:
        return
    without = f", without {', '.join(lost)}" if lost else ""
    raise ValueError(
        "A new version takes the old one's place in a server, so it must be of the same task, with "
        "the same names in the same order, and have the same inputs and format and all its "
        "signatures. "
        "Choose another folder, or pass allow_changes=True if all clients know. "
        f"Received: {directory} with version {newest[0]} of {of_old}, and a model of {of_new}"
        f"{without}"
    )


def read_card(version: Path) -> dict[str, Any]:
    """Reads the model card of a version; empty if there is none, or it cannot be read."""
    try:
        card = json.loads((version / CARD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) and isinstance(card.get("classes"), list) else {}


def describe_card(card: Mapping[str, Any]) -> str:
    """Describes the parts of a model card that clients rely on: task, names and inputs."""
    task = card.get("task")
    if not isinstance(task, Mapping):  # older cards have only classes
        task = {"name": "classify", "target": {"names": card["classes"]}} if card["classes"] else {}
    target = {k: v for k, v in (task.get("target") or {}).items() if k != "kind"}
    names = ", ".join(map(repr, target.pop("names", ())))
    further = "".join(f", {name} {value}" for name, value in target.items())
    inputs = ", ".join(card.get("inputs", ("text",)))
    of_names = f" ({names}{further})" if names else ""
    format = card.get("format", SAVED_MODEL)
    in_format = "" if format == SAVED_MODEL else f" in the format {format}"
    return f"the task {task.get('name', 'unknown')}{of_names} of {inputs}{in_format}"
