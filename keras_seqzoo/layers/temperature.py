"""Probabilities of classes, calibrated on other rows, and thresholds for predicting a class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class ClassProbabilities(keras.layers.Layer):
    """The softmax of scores `(batch, classes)` over a temperature; it also holds thresholds.

    Args:
        **kwargs: arguments of `keras.layers.Layer`.

    Attributes:
        temperature: float32 scalar, 1 at first. No gradient reaches it.
        thresholds: float32 `(classes,)`, the least probability at which a class is predicted; 0,
            the initial value, for a class without a threshold. See `tasks.classify.Classify`.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the temperature and the thresholds."""
        self.temperature = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="temperature"
        )
        self.thresholds = self.add_weight(
            shape=(input_shape[-1],), initializer="zeros", trainable=False, name="thresholds"
        )

    def call(self, logits: Any) -> Any:
        """Computes the probabilities."""
        return keras.activations.softmax(logits / self.temperature)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Reads both; older files have no thresholds, or neither."""
        self.temperature.assign(store["0"] if "0" in store else 1.0)  # noqa: SIM401 - no dict
        self.thresholds.assign(store["1"] if "1" in store else 0 * self.thresholds)
