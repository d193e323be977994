"""Learning rates that rise and fall over the real number of steps of a `fit`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras

from keras_seqzoo.checks import check_rate

SCHEDULES = ("constant", "linear", "cosine")


class LearningRateOverFit(keras.callbacks.Callback):
    """Warms the learning rate up, then lets it fall to zero at the last step of `fit`.

    The peak is the optimizer's own learning rate. It is restored when `fit` ends, even by an error,
    and in every file that the model is saved to meanwhile, so that the next `fit` starts from it.
    The rate depends only on epoch and step: a `fit` resumed with `initial_epoch` continues where it
    was. If Keras does not know the number of steps (a dataset of unknown length), the rate is set
    once per epoch.

    Another callback that sets the rate takes precedence: from the epoch in which this is noticed,
    this one does not change the rate any more, and a warning says so.

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
        self._peak: float | None = None
        self._last: float | None = None
        self._stands_aside = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Starts again; the peak is read later, when all callbacks have restored their state."""
        self._peak = self._last = None
        self._stands_aside = False
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Reads the peak; sets the rate for an epoch whose number of steps is unknown."""
        self._epoch = epoch
        if self._last is None:
            self._last = self._rate()
            self._peak = self._last if self._peak is None else self._peak
        self._look()
        if not self.params.get("steps"):
            self.set_progress((epoch + 0.5) / self.params["epochs"])

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Sets the rate for one step."""
        steps = self.params.get("steps")
        if steps:
            # Reading the rate at every step would wait for the device.
            if batch == 0:
                self._look()
            self.set_progress((self._epoch + (batch + 0.5) / steps) / self.params["epochs"])

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Restores the peak."""
        self.put_back()

    def set_progress(self, progress: float) -> None:
        """Sets the rate for a share of the training, 0 to 1."""
        if self._stands_aside or self._peak is None:
            return
        self._last = self._peak * rate_at(progress, self.schedule, self.warmup)
        self.model.optimizer.learning_rate = self._last

    def put_back(self) -> None:
        """Makes the optimizer's rate the peak again, unless another callback has set it."""
        if self._peak is not None and not self._stands_aside:
            self.model.optimizer.learning_rate = self._peak
            self._last = None

    @contextmanager
    def at_peak(self) -> Iterator[None]:
        """Sets the optimizer's rate to the peak for a while, to save it in a file."""
        last = self._last
        self.put_back()
        yield
        if last is not None and not self._stands_aside:
            self._last = self.model.optimizer.learning_rate = last

    def _look(self) -> None:
        """Stops setting the rate if something else has changed it."""
        if self._last is None or self._stands_aside:
            return
        found = self._rate()
        if not math.isclose(found, self._last, rel_tol=1e-6):
            self._stands_aside = True
            warnings.warn(
                f"Another callback has set the learning rate to {found:.3g}: from here on, the "
                f"model's schedule ({self.schedule}, warmup {self.warmup}) does not change it. To "
                "choose this without a warning, compile without schedule=.",
                stacklevel=2,
            )

    def _rate(self) -> float:
        # A strategy's variable can only be read as an array.
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


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
    """Raises a ValueError if a schedule is unknown."""
    if schedule not in SCHEDULES:
        raise ValueError(f"`schedule` must be one of {SCHEDULES}. Received: schedule={schedule!r}")
