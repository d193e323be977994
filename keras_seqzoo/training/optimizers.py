"""The optimizer that transformers are fine-tuned with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

NO_DECAY = ("bias", "norm", "beta", "gamma")


@keras.saving.register_keras_serializable("keras_seqzoo")
class TransformerAdamW(keras.optimizers.AdamW):
    """AdamW that spares biases and layer norms its weight decay, as BERT's own optimizer does.

    Source: Devlin et al. (2019), BERT, appendix A.2 (decay 0.01, beta_2 0.999, epsilon 1e-6,
    gradients clipped to a global norm of 1 in the released code). `keras.optimizers.AdamW` can
    exclude variables too, but forgets which when a model is saved; this one keeps them in its
    config.

    Args:
        learning_rate: peak rate.
        weight_decay: share of a weight that is taken off, times the learning rate, in a step.
        epsilon: added to the root of the second moment.
        global_clipnorm: largest norm of all gradients together.
        no_decay: variables with one of these in their name are not decayed.
        **kwargs: further arguments of `keras.optimizers.AdamW`.
    """

    def __init__(
        self,
        learning_rate: Any = 5e-5,
        weight_decay: float = 0.01,
        epsilon: float = 1e-6,
        global_clipnorm: float | None = 1.0,
        no_decay: Sequence[str] = NO_DECAY,
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate,
            weight_decay=weight_decay,
            epsilon=epsilon,
            global_clipnorm=global_clipnorm,
            **kwargs,
        )
        self.no_decay = tuple(no_decay)

    def build(self, variables: Sequence[Any]) -> None:
        """Creates the moments, and notes which variables are not decayed."""
        if not self.built:
            spared = [v for v in variables if any(part in v.path.lower() for part in self.no_decay)]
            self.exclude_from_weight_decay(var_list=spared)
        super().build(variables)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "no_decay": list(self.no_decay)}
