"""Learning rates that rise and fall over the real number of steps of a `fit`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras

from keras_seqzoo.checks import check_rate

SCHEDULES = ("constant", "linear", "cosine")


class LearningRateOverFit(keras.callbacks.Callback):
    """Warms the learning rate up, then lets it fall to zero at the last step of `fit`.

    The optimizer's own learning rate is the peak; it is back in place when `fit` ends, so that the
    next `fit` begins anew. The rate is a function of epoch and step alone: a `fit` resumed with
    `initial_epoch` goes on where it was. Where Keras can not tell the number of steps (a dataset
    of unknown length), the rate is set once an epoch.

    Args:
        schedule: `"linear"` or `"cosine"`, how the rate falls after the warm-up; `"constant"`
            warms up only.
        warmup: share of all steps over which the rate rises linearly from zero.

    Raises:
        ValueError: an unknown schedule, or `warmup` out of its range.
    """

    recovery_state = ("_peak",)

    def __init__(self, schedule: str, warmup: float = 0.0):
        super().__init__()
        check_schedule(schedule)
        check_rate(warmup=warmup)
        self.schedule = schedule
        self.warmup = warmup

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Takes the optimizer's learning rate as the peak."""
        # A strategy's variable can be read as an array alone.
        self._peak = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Sets the rate for an epoch whose number of steps is unknown."""
        self._epoch = epoch
        if not self.params.get("steps"):
            self.set_progress((epoch + 0.5) / self.params["epochs"])

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Sets the rate for one step."""
        steps = self.params.get("steps")
        if steps:
            self.set_progress((self._epoch + (batch + 0.5) / steps) / self.params["epochs"])

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Puts the peak back."""
        self.model.optimizer.learning_rate = self._peak

    def set_progress(self, progress: float) -> None:
        """Sets the rate for a share of the training, 0 to 1."""
        self.model.optimizer.learning_rate = self._peak * rate_at(
            progress, self.schedule, self.warmup
        )


def rate_at(progress: float, schedule: str, warmup: float = 0.0) -> float:
    """The learning rate as a share of its peak.

    Args:
        progress: share of the training that is done, 0 to 1.
        schedule: one of `SCHEDULES`.
        warmup: share of the training over which the rate rises linearly from zero.
    """
    if progress < warmup:
        return progress / warmup
    left = (1 - progress) / (1 - warmup)
    if schedule == "linear":
        return left
    if schedule == "cosine":
        return (1 - math.cos(math.pi * left)) / 2
    return 1.0


def check_schedule(schedule: str) -> None:
    """Raises a ValueError where a schedule is unknown."""
    if schedule not in SCHEDULES:
        raise ValueError(f"`schedule` must be one of {SCHEDULES}. Received: schedule={schedule!r}")
