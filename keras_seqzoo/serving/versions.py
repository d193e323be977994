"""Folders of exported versions: which there are, and whether the next one answers as the last."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_NUMBER = re.compile("[0-9]{1,19}")  # what TensorFlow Serving takes for a version
CARD = Path("assets.extra") / "model_card.json"


def numbered(directory: Path) -> dict[int, Path]:
    """Finds what has a whole number for a name in a folder, lowest first.

    Raises:
        OSError: there is no such folder, or it can not be read.
    """
    found = {int(p.name): p for p in sorted(directory.iterdir()) if _NUMBER.fullmatch(p.name)}
    return dict(sorted(found.items()))


def versions(directory: str | os.PathLike[str]) -> list[int]:
    """Lists the versions in an export folder, lowest first; none where there is no folder."""
    return list(numbered(Path(directory))) if Path(directory).is_dir() else []


def find_version(path: Path) -> Path:
    """Returns a version's folder, or the highest version in it.

    Raises:
        FileNotFoundError: neither.
    """
    if (path / "saved_model.pb").is_file():
        return path
    found = versions(path)
    if not found:
        raise FileNotFoundError(
            "There is no SavedModel: neither saved_model.pb nor a numbered version folder. "
            f"Check the path, or export one. Received: {path}"
        )
    return path / str(found[-1])


def check_model_path(path: str | os.PathLike[str]) -> None:
    """Raises where there is neither a `.keras` file nor an export, before TensorFlow is imported.

    Raises:
        FileNotFoundError: nothing there.
    """
    if Path(path).suffix == ".keras":
        check_exists(path)
    else:
        find_version(Path(path))


def check_exists(path: str | os.PathLike[str]) -> None:
    """Raises where there is no file.

    Raises:
        FileNotFoundError: no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no such file. Check the path. Received: {path}")


def check_answers(
    directory: str | os.PathLike[str], classes: Sequence[str], signatures: Iterable[str] = ()
) -> None:
    """Raises where a new version would not answer as the newest one in its folder does.

    A server puts a new version in the old one's place without a word, and its clients read labels
    by name and probabilities by number.

    Args:
        directory: the folder of the versions.
        classes: of the new version, in label order; none where it is no classifier.
        signatures: of the new version; unknown if empty.

    Raises:
        ValueError: the newest version has other classes, or a signature that the new one lacks.
    """
    newest = versions(directory)[-1:]
    card = read_card(Path(directory) / str(newest[0])) if newest else {}
    lost = sorted({*card.get("signatures", ())} - {*signatures}) if signatures else []
    if not card or (tuple(card["classes"]) == tuple(classes) and not lost):
        return
    without = f", without {', '.join(lost)}" if lost else ""
    raise ValueError(
        "A new version takes the old one's place in a server, so it must have the same classes in "
        "the same order, and all its signatures. Choose another folder, or pass "
        f"allow_changes=True where all clients know. Received: {directory} with version "
        f"{newest[0]} of {_listed(card['classes'])}, and a model of {_listed(classes)}{without}"
    )


def read_card(version: Path) -> dict[str, Any]:
    """Reads the model card of a version; empty where it has none that can be read."""
    try:
        card = json.loads((version / CARD).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) and isinstance(card.get("classes"), list) else {}


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(map(repr, classes[:20])) + (", …" if len(classes) > 20 else "")
    return f"the classes {shown}" if shown else "no classes"
