"""Checks of the arguments of `explain` and similar functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandas.api.types import is_list_like

from keras_seqzoo.data.inputs import text_columns
from keras_seqzoo.explanation.words import Question
from keras_seqzoo.names import suggest
from keras_seqzoo.tasks.base import Task


def check_texts(texts: Any) -> list[Question]:
    """Returns one or many texts or pairs, or those of a table, as a list.

    Raises:
        TypeError: a text is not a string.
        ValueError: no texts, or a pair lacks a side.
    """
    if getattr(getattr(texts, "inputs", None), "name", "") == "series":
        raise TypeError(
            "Windows of numbers have steps, not words. Use explain_steps(model, table). "
            f"Received: {texts!r}"
        )
    if isinstance(texts, str):
        return [texts]
    texts = getattr(texts, "texts", texts)
    if isinstance(texts, Mapping) or not is_list_like(texts, allow_sets=False):
        raise TypeError(
            "`texts` must be a string, a sequence of strings or of pairs, or a TextTable (of a "
            f"stream, take some texts). Received: {type(texts).__name__}"
        )
    sides = [column.tolist() for column in text_columns(texts).values()]
    wrong = next((s for side in sides for s in side if not isinstance(s, str)), "")
    if not isinstance(wrong, str):
        raise TypeError(
            "Every text must be a string. Drop or fill missing values, and decode bytes first. "
            f"Received: {wrong!r:.80} of type {type(wrong).__name__}"
        )
    if not sides[0]:
        raise ValueError("There must be at least one text. Received: none")
    return sides[0] if len(sides) == 1 else list(zip(*sides, strict=True))


def check_targets(target: Any, rows: int, task: Task) -> list[int | None]:
    """Returns for each text the place of the name to explain; None leaves it to the task.

    Raises:
        ValueError: not as many targets as texts, or a target that the model does not answer.
    """
    given = [target] * rows if target is None or isinstance(target, str) else list(target)
    if len(given) != rows:
        raise ValueError(
            f"`target` must be one of the {task.noun}, or one for each text. "
            f"Received: {len(given)} targets, {rows} texts"
        )
    return [None if name is None else place_of(str(name), task) for name in given]


def place_of(name: str, task: Task) -> int:
    """Returns the place of a name among those of a task.

    Raises:
        ValueError: no such name.
    """
    if name not in task.names:
        raise ValueError(
            f"`target` must be one of the {task.noun} of the model, {task.names}. "
            f"{suggest(name, task.names)}Received: target={name!r}"
        )
    return task.names.index(name)
