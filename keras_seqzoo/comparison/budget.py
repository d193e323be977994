"""A limit on the time of a training, and a learning rate that falls to zero within it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import keras

from keras_seqzoo.training.schedules import LearningRateOverFit

# The first steps compile the graph, so their times do not show the pace.
_WARM_UP = 10
_ENOUGH = 30


class BudgetError(ValueError):
    """The budget is not enough for one epoch."""


class TimeBudget(keras.callbacks.Callback):
    """Ends a training when its time is over.

    It cuts the current epoch short; that epoch is validated, and counts like any other. The
    budget reserves time for this validation: as much as the last one took.

    Args:
        seconds: most seconds of the training, validation included; no limit if None.

    Attributes:
        spent: whether the time was over before the last epoch.

    Raises:
        BudgetError: from `fit`, if not even the first epoch fits in.
    """

    def __init__(self, seconds: float | None):
        super().__init__()
        self.seconds = seconds
        self.spent = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._begun = time.monotonic()
        self._steps_done = 0
        self._warm_at = 0.0
        self._epoch = 0
        self._set_aside = 0.0
        self._validating_since = 0.0

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Starts to time a validation."""
        self._validating_since = self.elapsed

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Notes how long a validation takes."""
        self._set_aside = self.elapsed - self._validating_since

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Remembers the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stops the training if its time is over."""
        self._steps_done += 1
        if self._steps_done == _WARM_UP:
            self._warm_at = self.elapsed
        if self.seconds is None or self.spent:
            return
        steps = self.params.get("steps") or 0
        is_first = self._epoch == 0 and self._steps_done < steps
        # An estimate may be somewhat wrong, but not by half.
        limit = self.seconds if self.elapsed > self.seconds else 1.5 * self.seconds
        if is_first and self.needs(steps) > limit:
            raise BudgetError(
                "The budget must be enough for one epoch. Raise it, take a smaller model or fewer "
                f"rows. Received: a budget of {self.seconds:,g} s; one epoch takes about "
                f"{self.needs(steps):,.0f} s"
            )
        if self.elapsed > self.left_for_steps and not is_first:
            self.spent = True
            self.model.stop_training = True

    @property
    def left_for_steps(self) -> float:
        """Seconds of the budget without those reserved; infinite without a limit."""
        return float("inf") if self.seconds is None else self.seconds - self._set_aside

    @property
    def elapsed(self) -> float:
        """Seconds since the training began."""
        return time.monotonic() - self._begun

    def needs(self, steps: int) -> float:
        """Estimates the seconds that so many steps take; 0 while too few steps were timed."""
        done = self._steps_done - _WARM_UP
        if self._steps_done < _ENOUGH:
            is_over = self.seconds is not None and self.elapsed > self.seconds
            return self.elapsed / max(self._steps_done, 1) * steps if is_over else 0.0
        return self._warm_at + (self.elapsed - self._warm_at) / done * (steps - _WARM_UP)


class BudgetedLearningRate(LearningRateOverFit):
    """A learning rate that falls to zero over the steps, or over the time, whichever ends first.

    As long as all steps seem to fit into the time, it is the rate of `LearningRateOverFit`, so
    that the clock does not affect the result. The idea: Li et al. (2020), Budgeted Training.

    Args:
        schedule: as in `LearningRateOverFit`.
        warmup: as in `LearningRateOverFit`.
        budget: the clock, which must come before this in the list of callbacks.
    """

    def __init__(self, schedule: str, warmup: float, budget: TimeBudget):
        super().__init__(schedule, warmup)
        self.budget = budget
        self._is_short = False

    def set_progress(self, progress: float) -> None:
        """Sets the rate for a share of the steps, or of the time if the steps do not fit in."""
        seconds = self.budget.left_for_steps
        if self.budget.seconds is not None:
            steps = (self.params.get("steps") or 0) * self.params["epochs"]
            self._is_short |= self.budget.needs(steps) > seconds
            if self._is_short:
                progress = min(1.0, max(progress, self.budget.elapsed / seconds))
        super().set_progress(progress)
