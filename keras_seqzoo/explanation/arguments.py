"""Checks of what `explain` and its kin are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seqzoo.names import suggest


def check_texts(texts: Any) -> list[str]:
    """Returns one or many texts, or those of a table, as a list.

    Raises:
        TypeError: something is no string.
        ValueError: there are none.
    """
    if getattr(getattr(texts, "inputs", None), "name", "") == "series":
        raise TypeError(
            "Windows of numbers have steps, not words. Use explain_steps(model, table). "
            f"Received: {texts!r}"
        )
    texts = getattr(texts, "texts", texts)
    strings = [texts] if isinstance(texts, str) else list(texts) if _is_many(texts) else texts
    if not isinstance(strings, list):
        raise TypeError(
            "`texts` must be a string, a sequence of strings or a TextTable (of a stream, take "
            f"some texts). Received: {type(texts).__name__}"
        )
    wrong = next((s for s in strings if not isinstance(s, str)), "")
    if not isinstance(wrong, str):
        raise TypeError(
            "Every text must be a string. Drop or fill missing values, and decode bytes first. "
            f"Received: {wrong!r:.80} of type {type(wrong).__name__}"
        )
    if not strings:
        raise ValueError("There must be at least one text. Received: none")
    return strings


def _is_many(texts: Any) -> bool:
    return isinstance(texts, Sequence | np.ndarray) or hasattr(texts, "to_list")


def check_targets(target: Any, rows: int, classes: Sequence[str]) -> list[str | None]:
    """Returns a target a text; None stands for the class that the model answers.

    Raises:
        ValueError: another number of targets than texts, or no class of the model.
    """
    targets: list[str | None]
    if target is None or isinstance(target, str):
        targets = [target] * rows
    else:
        targets = [None if name is None else str(name) for name in target]
        if len(targets) != rows:
            raise ValueError(
                "`target` must be one class, or one for each text. "
                f"Received: {len(targets)} targets, {rows} texts"
            )
    for name in targets:
        if name is not None and name not in classes:
            raise ValueError(
                f"`target` must be a class of the model, {tuple(classes)}. "
                f"{suggest(name, classes)}Received: target={name!r}"
            )
    return targets
