"""A SavedModel of keras_seqzoo in the form of MLflow: a frame in, a frame out.

This file is logged with the model, and needs only TensorFlow, MLflow and pandas.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import tensorflow as tf

_ROWS = 256  # rows in each call
_SPAN = ("label", "text", "start", "end", "probability")
_PREFIXES = {"probabilities": "p", "values": "value"}  # of columns, one for each name
_ANSWER = ("answer", "start", "end", "probability", "no_answer")


class ServedModel(mlflow.pyfunc.PythonModel):
    """Answers rows with a SavedModel's `serving_default`.

    The columns are the model's inputs: `text`, for pairs also `text_pair`; or `values`, a window
    (steps, columns) as lists in each cell.
    """

    def load_context(self, context: Any) -> None:
        """Loads the SavedModel."""
        self.load(Path(context.artifacts["saved_model"]))

    def load(self, path: Path) -> None:
        """Loads the SavedModel in a folder."""
        card = json.loads((path / "assets.extra" / "model_card.json").read_text("utf-8"))
        if card["serving"]["tensorflow_text_ops"]:
            import tensorflow_text  # noqa: F401 - operations of the graph
        self.task = card["task"]["name"]
        target = card["task"].get("target") or {}
        self.names = [*(target.get("names") or card["classes"])]
        self.module = tf.saved_model.load(str(path))
        self.ask = self.module.signatures["serving_default"]
        self.inputs = self.ask.structured_input_signature[1]

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Answers each row, with the columns of the model's own `predict(as_frame=True)`."""
        parts = []
        for start in range(0, len(model_input) or 1, _ROWS):
            rows = model_input.iloc[start : start + _ROWS]
            answer = self.ask(**{k: self._tensor(rows[k], v) for k, v in self.inputs.items()})
            parts.append(self._frame({k: v.numpy() for k, v in answer.items()}))
        return pd.concat(parts, ignore_index=True)

    def _tensor(self, column: Any, spec: tf.TensorSpec) -> tf.Tensor:
        if spec.dtype == tf.string:
            return tf.constant(column.tolist(), tf.string)
        windows = [[np.ravel(step) for step in window] for window in column]
        return tf.reshape(tf.constant(windows, spec.dtype), [-1, *spec.shape[1:]])

    def _frame(self, answer: dict[str, np.ndarray]) -> pd.DataFrame:
        lists = {name: _plain(values.tolist()) for name, values in answer.items()}
        found: dict[str, Any] = {}
        if self.task == "tag":
            found["spans"] = [
                [dict(zip(_SPAN, p, strict=True)) for p in zip(*row, strict=True) if p[2] >= 0]
                for row in zip(*(lists[name] for name in _SPAN), strict=True)
            ]
        elif self.task == "fill_mask":
            found["masks"] = [
                [
                    [{"token": t, "probability": p} for t, p in zip(*mask, strict=True)]
                    for mask in zip(*row, strict=True)
                    if mask[1][0] > 0
                ]
                for row in zip(lists["token"], lists["probability"], strict=True)
            ]
        elif self.task == "forecast":
            columns = np.moveaxis(answer["forecast"], 2, 1).tolist()
            found["forecast"] = [dict(zip(self.names, row, strict=True)) for row in columns]
        elif self.task == "answer":
            found = {name: lists[name] for name in _ANSWER}
        else:
            for name in sorted(lists, key=lambda name: (name in _PREFIXES, name)):
                values, prefix = lists[name], _PREFIXES.get(name)
                if prefix:
                    for i, of in enumerate(self.names):
                        found[f"{prefix}_{of}"] = [row[i] for row in values]
                elif name == "labels":
                    found[name] = [[label for label in row if label] for row in values]
                else:
                    found[name] = values
        return pd.DataFrame(found)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


mlflow.models.set_model(ServedModel())
