from __future__ import annotations

from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest

from keras_seqzoo.comparison import budget
from keras_seqzoo.training.schedules import rate_at


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Tick(keras.callbacks.Callback):
    """Lets every step take a second; the first, which compiles, three more."""

    def __init__(self, clock: Clock):
        super().__init__()
        self.clock = clock
        self.rates: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        self.clock.now += 4 if len(self.rates) == 1 else 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(budget, "time", made)
    return made


def _train(clock: Clock, seconds: float | None, epochs: int, steps: int = 100) -> Any:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    limit = budget.TimeBudget(seconds)
    tick = Tick(clock)
    rate = budget.BudgetedLearningRate("linear", 0.1, limit)
    x = np.zeros((steps, 1))
    history = model.fit(
        x, x, batch_size=1, epochs=epochs, verbose=0, callbacks=[limit, rate, tick], shuffle=False
    )
    return len(history.epoch), limit, tick.rates


def test_without_a_limit_or_within_it_nothing_changes(clock):
    expected = [rate_at((i + 0.5) / 200, "linear", 0.1) * 0.1 for i in range(200)]
    for seconds in (None, 300):
        epochs, limit, rates = _train(clock, seconds, epochs=2)
        assert (epochs, limit.spent) == (2, False)
        np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_a_training_ends_when_its_time_is_over_and_its_rate_has_fallen_to_zero_by_then(clock):
    epochs, limit, rates = _train(clock, 150, epochs=3)
    assert (epochs, limit.spent) == (2, True)
    assert 145 < len(rates) < 150
    assert rates[-1] < 0.002
    assert max(rates) > 0.09
    late = rates[60:]
    assert all(a >= b for a, b in pairwise(late))


def test_a_budget_that_one_epoch_does_not_fit_in_is_told_early(clock):
    with pytest.raises(budget.BudgetError, match=r"budget of 50 s; one epoch takes about 10"):
        _train(clock, 50, epochs=3)
    # The pace told it long before the time was over.
    assert clock.now < 40


def test_a_budget_of_less_than_the_first_steps_is_told_too(clock):
    with pytest.raises(budget.BudgetError, match="must be enough for one epoch"):
        _train(clock, 2, epochs=1)


def test_an_epoch_that_just_ends_counts(clock):
    epochs, limit, _ = _train(clock, 103.5, epochs=2)
    assert (epochs, limit.spent) == (2, True)
