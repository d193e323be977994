"""Probabilities of classes, as sure as the rows that a model did not learn say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class ClassProbabilities(keras.layers.Layer):
    """The softmax of scores `(batch, classes)` over a temperature.

    Args:
        **kwargs: arguments of `keras.layers.Layer`.

    Attributes:
        temperature: float32 scalar, 1 at first. No gradient reaches it.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the temperature."""
        self.temperature = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="temperature"
        )

    def call(self, logits: Any) -> Any:
        """Computes the probabilities."""
        return keras.activations.softmax(logits / self.temperature)

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Reads the temperature; files of before have none, which is 1."""
        self.temperature.assign(store["0"] if "0" in store else 1.0)  # noqa: SIM401 - no dict
