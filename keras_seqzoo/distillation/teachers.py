"""Teachers: models that answer each text once, with checks of what a student must learn."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_seqzoo.files import whole
from keras_seqzoo.names import shown_names
from keras_seqzoo.serving.saved import SavedPredictor, load_predictor
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.tasks.model import TextModel

Progress = Callable[[int, int], None]

_BLOCK = 1024  # number of texts whose answers share a file
_ASKED_AGAIN = 8
_CLOSE = 1e-3


class Teacher:
    """A model whose answers a student learns.

    Args:
        model: a model of this package or what it exported, or the path of either; or any object
            whose `predict` (or `predict_proba`, like scikit-learn's) takes a list of texts and
            returns the answers of the student's task, `(rows, names)`. Its `classes` (or
            `classes_`) name the columns; they are the student's, in any order.
        task: the task of the student.
        pair: whether the student reads pairs of texts.

    Raises:
        FileNotFoundError: nothing at this path.
        TypeError: an object that does not predict.
        ValueError: a model of another task, other names or other inputs.
    """

    def __init__(self, model: Any, task: Task, pair: bool):
        if isinstance(model, (str, os.PathLike)):
            model = load_predictor(model)
        self._is_own = isinstance(model, (TextModel, SavedPredictor))
        self._task = task
        self._predict = getattr(model, "predict_proba", getattr(model, "predict", None))
        if self._predict is None:
            raise TypeError(
                "A teacher is a model, the path of one, or an object whose predict(texts) returns "
                f"the answers that the student must learn. Received: {type(model).__name__}"
            )
        own: Any = getattr(model, "task", None)
        if self._is_own and (own.target is None or own.target.kind != task.target.kind):
            raise ValueError(
                "A teacher and its student must have the same task. Take a teacher of the "
                "student's task. "
                f"Received: a teacher of the task {own.name!r} ({shown_names(own.names)}), a "
                f"student of the task {task.name!r} ({shown_names(task.names)})"
            )
        if self._is_own and model.pair != pair:
            raise ValueError(
                "A teacher must read the same inputs as its student. Take such a teacher. "
                f"Received: a teacher of {_inputs(model.pair)}, a student of {_inputs(pair)}"
            )
        names = own.names if self._is_own else _names(model)
        if names is None and task.classes:
            raise ValueError(
                f"The {task.noun} of a teacher must be known, so that its columns have names. "
                f"Give it an attribute `classes`, such as {list(task.names)}. "
                f"Received: {type(model).__name__} without one"
            )
        names = task.names if names is None else tuple(names)
        if sorted(names) != sorted(task.names):
            raise ValueError(
                f"A teacher's {task.noun} must be those of its student, in any order. Build the "
                "student for them, build_model(…, classes=teacher.classes). Received: a teacher of "
                f"{shown_names(names)}, a student of {shown_names(task.names)}"
            )
        self._columns = [names.index(name) for name in task.names]

    def __call__(self, texts: Sequence[Any]) -> npt.NDArray[np.float32]:
        """Answers texts, float32 `(rows, names)` in the order of the student's names.

        Raises:
            ValueError: answers of another form, or not probabilities if the task needs them.
        """
        assert self._predict is not None
        options = {"batch_size": 64, "verbose": 0} if self._is_own else {}
        answers = np.asarray(self._predict(list(texts), **options))
        if answers.ndim == 1 and len(self._columns) == 1:
            answers = answers[:, np.newaxis]
        shape = (len(texts), len(self._columns))
        if answers.dtype.kind not in "fiu" or answers.shape != shape:
            raise ValueError(
                f"A teacher answers with numbers of the shape {shape}, with a row for each text "
                f"and a column for each of {shown_names(self._task.names)}. "
                f"Received: {answers.dtype} of shape {answers.shape}"
            )
        answers = answers.astype(np.float32)[:, self._columns]
        self._task.check_lessons(answers)
        return answers


def ask(
    teacher: Callable[[Sequence[Any]], npt.NDArray[np.float32]],
    texts: Sequence[Any],
    cache: str | os.PathLike[str] | None,
    tell: Progress,
) -> npt.NDArray[np.float32]:
    """Calls a teacher once for each text.

    Answers are written block by block, each completely or not at all, under a name that identifies
    the texts. Answers that exist are not computed again, unless the teacher now answers the first
    texts differently: then it is another teacher.

    Args:
        teacher: answers a list of texts.
        texts: all of them, at least one.
        cache: folder of answers; None keeps none.
        tell: called with the number of texts answered, and the number of all texts.
    """
    folder = None if cache is None else Path(cache) / f"answers-{_digest(texts)}"
    if folder is not None:
        kept = _read(folder / "0.npy", min(_BLOCK, len(texts)))
        first = None if kept is None else kept[:_ASKED_AGAIN]
        if first is None or not _are_close(first, teacher(texts[: len(first)])):
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    blocks = []
    for at in range(0, len(texts), _BLOCK):
        part = texts[at : at + _BLOCK]
        file = None if folder is None else folder / f"{at}.npy"
        block = None if file is None else _read(file, len(part))
        if block is None:
            block = teacher(part)
            if file is not None:
                with whole(file) as unfinished, unfinished.open("wb") as opened:
                    np.save(opened, block)
        blocks.append(block)
        tell(at + len(part), len(texts))
    return np.concatenate(blocks)


def _read(file: Path, rows: int) -> npt.NDArray[np.float32] | None:
    """Reads the answers in a file; returns None if it is missing or damaged."""
    try:
        answers = np.load(file)
    except (OSError, ValueError, EOFError):
        return None
    is_whole = answers.dtype == np.float32 and answers.ndim == 2 and len(answers) == rows
    return answers if is_whole else None


def _are_close(kept: npt.NDArray[Any], again: npt.NDArray[Any]) -> bool:
    """Whether kept answers are the same as the teacher's answers now."""
    return kept.shape == again.shape and np.allclose(kept, again, rtol=_CLOSE, atol=_CLOSE)


def _digest(texts: Sequence[Any]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        for part in (text,) if isinstance(text, str) else text:
            encoded = part.encode("utf-8", "surrogatepass")
            digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()[:16]


def _names(model: Any) -> tuple[str, ...] | None:
    """Returns the names of the columns of a foreign model, if it has any."""
    classes = getattr(model, "classes", getattr(model, "classes_", None))
    return None if classes is None else tuple(map(str, classes))


def _inputs(pair: bool) -> str:
    return "pairs" if pair else "texts"
