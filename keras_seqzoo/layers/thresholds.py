"""Probabilities of labels, and the thresholds above which a text has a label."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_seqzoo")
class LabelProbabilities(keras.layers.Layer):
    """The sigmoid of scores `(batch, labels)`; it also holds a threshold for each label.

    Args:
        **kwargs: arguments of `keras.layers.Layer`.

    Attributes:
        thresholds: float32 `(labels,)`, 0.5 each at first. No gradient reaches them.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes the thresholds."""
        self.thresholds = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(0.5),
            trainable=False,
            name="thresholds",
        )

    def call(self, logits: Any) -> Any:
        """Computes the probabilities."""
        return keras.ops.sigmoid(logits)
