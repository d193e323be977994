"""Loads saved models: a `.keras` file, or an exported SavedModel without Keras."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.preprocessing.base import as_pairs, as_strings
from keras_seqzoo.serving.card import task_of_card
from keras_seqzoo.serving.versions import CARD, SAVED_MODEL, find_version
from keras_seqzoo.tasks.keras_file import load_keras_file
from keras_seqzoo.tasks.model import TextModel


class SavedPredictor:
    """An exported model that runs as in TF Serving: through its `serving_default`.

    Args:
        path: the folder of a version, or the folder of all versions, for the highest one.

    Attributes:
        path: the folder of the version.
        task: the task of the model.
        columns: names of the value columns of a window; unused for texts.

    Raises:
        FileNotFoundError: no SavedModel there.
        ValueError: not a SavedModel of this package, or one whose answers have no truth to be
            compared with.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = find_version(Path(path))
        if not (self.path / CARD).is_file():
            raise ValueError(
                "This SavedModel was not exported by keras_seqzoo: it lacks "
                f"assets.extra/model_card.json. Received: {self.path}"
            )
        import tensorflow_text  # noqa: F401 - the graph may hold its ops

        card = json.loads((self.path / CARD).read_text("utf-8"))
        if card.get("format", SAVED_MODEL) != SAVED_MODEL:
            raise ValueError(
                "Exports in other formats run in their own runtimes. Export the model as "
                f"{SAVED_MODEL}, too. Received: {self.path} in the format {card['format']}"
            )
        task = task_of_card(card)
        if task is None or not task.metrics:
            raise ValueError(
                "This SavedModel has no classes, labels or numbers to answer. Ask it with "
                f"TensorFlow, through its `serving_default`. Received: {self.path}"
            )
        self.task = task
        # Older cards have only the columns of forecasts.
        self.columns = tuple(card.get("columns") or task.names)
        try:
            self._module = tf.saved_model.load(str(self.path))
        except (OSError, ValueError, IndexError, tf.errors.OpError) as error:
            raise ValueError(
                "The SavedModel cannot be loaded: a file in it is damaged or missing. Export it "
                f"again. Received: {self.path}: {str(error).splitlines()[0]}"
            ) from error
        self._answer = self._module.signatures["serving_default"]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes or labels, in label order; `()` if there are none."""
        return self.task.classes

    @property
    def pair(self) -> bool:
        """Whether it takes pairs of texts."""
        return "text_pair" in self.served_inputs

    @property
    def served_inputs(self) -> Mapping[str, tf.TensorSpec]:
        """The inputs of its signature."""
        inputs: Mapping[str, tf.TensorSpec] = self._answer.structured_input_signature[1]
        return inputs

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        as_frame: bool = False,
    ) -> Any:
        """Returns the same as the model's `predict`: float32 `(rows, names)`, in the order of `x`.

        Args:
            x: strings `(rows,)`, or pairs as `preprocessing.base.as_pairs` takes them; for a model
                of numbers, windows, float `(rows, window, columns)`, or a `SeriesTable`.
            batch_size: texts in each call; 256 by default.
            verbose: accepted for compatibility with Keras; nothing is printed.
            as_frame: as in the model's `predict`.
        """
        if as_frame:
            return self.task.to_frame(self.predict(x, batch_size))
        if "values" in self.served_inputs:
            return self._predict_windows(x, batch_size or 256)
        texts = as_pairs(x) if self.pair else as_strings(x)[:, tf.newaxis]
        names = ("text", "text_pair")[: texts.shape[1]]
        answers: Any = None
        # Texts of about the same length share a call, which reduces padding.
        lengths = tf.reduce_sum(tf.strings.length(texts), axis=1)
        order = tf.argsort(lengths, stable=True).numpy()
        for start in range(0, len(order), batch_size or 256):
            rows = order[start : start + (batch_size or 256)]
            columns = tf.unstack(tf.gather(texts, rows), axis=1)
            answer = self._answer(**dict(zip(names, columns, strict=True)))
            outputs = self.task.outputs_of({k: v.numpy() for k, v in answer.items()})
            if answers is None:
                answers = np.empty((len(order), *outputs.shape[1:]), outputs.dtype)
            answers[rows] = outputs
        return np.zeros((0, *self.task.row_shape), np.float32) if answers is None else answers

    def _predict_windows(self, x: Any, batch_size: int) -> np.ndarray:
        values = np.asarray(x.windows() if isinstance(x, SeriesTable) else x, np.float32)
        shape = tuple(self.served_inputs["values"].shape[1:])
        if values.shape[1:] != shape:
            raise ValueError(
                f"Windows must have the shape (rows, {', '.join(map(str, shape))}). "
                f"Received: shape {values.shape}"
            )
        answers = np.zeros((len(values), *self.task.row_shape), np.float32)
        for start in range(0, len(values), batch_size):
            rows = slice(start, start + batch_size)
            answer = self._answer(values=tf.constant(values[rows]))
            answers[rows] = self.task.outputs_of({k: v.numpy() for k, v in answer.items()})
        return answers


def load_predictor(path: str | os.PathLike[str], trust: bool = False) -> TextModel | SavedPredictor:
    """Loads a model that can be evaluated, from a `.keras` file or from an export folder.

    Args:
        path: the file or folder.
        trust: whether a `.keras` file may hold a TensorFlow graph, which is a program.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: not such a model, or a graph that is not trusted.
    """
    if Path(path).suffix != ".keras":
        return SavedPredictor(path)
    model = load_keras_file(path, trust)
    if not model.task.metrics:
        raise ValueError(
            "The file must hold a model that answers with classes, labels or numbers. "
            f"Received: {path} with a {type(model).__name__}"
        )
    return model
