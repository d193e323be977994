"""Reads back what was saved: a `.keras` file, or an exported SavedModel without Keras."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.hub.archive import trusting_graphs
from keras_seqzoo.preprocessing.base import as_strings
from keras_seqzoo.serving.keras_file import check_keras_file
from keras_seqzoo.serving.versions import CARD, check_exists, find_version
from keras_seqzoo.tasks.base import TextModel
from keras_seqzoo.tasks.classify import Classifier


class SavedClassifier:
    """An exported classifier, run as TF Serving runs it: through its `serving_default`.

    Args:
        path: the folder of a version, or of the versions, of which the highest is taken.

    Attributes:
        path: the folder of the version.
        classes: class names in label order.

    Raises:
        FileNotFoundError: no SavedModel there.
        ValueError: a SavedModel, but not of a classifier that this package exported.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = find_version(Path(path))
        card = self.path / CARD
        if not card.is_file():
            raise ValueError(
                "This SavedModel was not exported by keras_seqzoo: it lacks "
                f"assets.extra/model_card.json. Received: {self.path}"
            )
        import tensorflow_text  # noqa: F401 - the graph may hold its ops

        self.classes: tuple[str, ...] = tuple(json.loads(card.read_text("utf-8"))["classes"])
        if not self.classes:
            raise ValueError(
                "This SavedModel is no classifier: it has no classes. Ask it with TensorFlow, "
                f"through its `serving_default`. Received: {self.path}"
            )
        try:
            self._module = tf.saved_model.load(str(self.path))
        except (OSError, ValueError, IndexError, tf.errors.OpError) as error:
            raise ValueError(
                "The SavedModel can not be loaded: a file in it is damaged or missing. Export it "
                f"again. Received: {self.path}: {str(error).splitlines()[0]}"
            ) from error
        self._answer = self._module.signatures["serving_default"]

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto") -> np.ndarray:
        """Returns probabilities, float32 `(rows, classes)`, in the order of the texts.

        Args:
            x: strings `(rows,)`.
            batch_size: texts a call; 256 by default.
            verbose: taken for likeness with Keras; nothing is printed.
        """
        texts = as_strings(x)
        answers = np.zeros((texts.shape[0], len(self.classes)), np.float32)
        # Texts of about the same size share a call, which spares padding.
        order = tf.argsort(tf.strings.length(texts), stable=True).numpy()
        for start in range(0, len(order), batch_size or 256):
            rows = order[start : start + (batch_size or 256)]
            answers[rows] = self._answer(text=tf.gather(texts, rows))["probabilities"].numpy()
        return answers


def load_keras_file(path: str | os.PathLike[str], trust: bool = False) -> TextModel:
    """Loads a `.keras` file that a model of this package was saved to.

    Args:
        path: the file.
        trust: whether it may hold a TensorFlow graph, as models of TF Hub's encoders do. A graph
            is a program. Python code in a file is refused all the same.

    Raises:
        FileNotFoundError: no such file.
        ValueError: damaged, a model of something else, code, a graph that is not trusted, or a
            file that asks for far more memory than it has bytes.
    """
    check_exists(path)
    check_keras_file(Path(path))
    with trusting_graphs() if trust else nullcontext():
        model = keras.models.load_model(path)
    if not isinstance(model, TextModel):
        raise ValueError(
            "This .keras file does not hold a model of keras_seqzoo. "
            f"Received: {path} with a {type(model).__name__}"
        )
    return model


def load_classifier(
    path: str | os.PathLike[str], trust: bool = False
) -> Classifier | SavedClassifier:
    """Loads a classifier from a `.keras` file or from an export folder.

    Args:
        path: the file or folder.
        trust: whether a `.keras` file may hold a TensorFlow graph, which is a program.

    Raises:
        FileNotFoundError: nothing there.
        ValueError: something else there, or a graph that is not trusted.
    """
    if Path(path).suffix != ".keras":
        return SavedClassifier(path)
    model = load_keras_file(path, trust)
    if not isinstance(model, Classifier):
        raise ValueError(
            f"The file must hold a classifier. Received: {path} with a {type(model).__name__}"
        )
    return model
