"""Learning rates over a `fit`, and the optimizer of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.training.optimizers import TransformerAdamW
from keras_seqzoo.training.schedules import LearningRateOverFit, rate_at


class Watch(keras.callbacks.Callback):
    """Notes the learning rate at the end of every step."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.rates: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.rates.append(float(self.model.optimizer.learning_rate))


@pytest.fixture
def model(tiny_table: Any) -> Any:
    keras.utils.set_random_seed(0)
    return sz.build_model("gru", tiny_table, units=4, embedding_dim=8, dropout=0.0)


def _compile(model: Any, **options: Any) -> None:
    model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", **options)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_rate_rises_then_falls_over_the_whole_fit(
    model: Any, tiny_table: Any, schedule: str
) -> None:
    _compile(model, schedule=schedule, warmup=0.25)
    watch = Watch()
    model.fit(tiny_table, batch_size=4, epochs=2, verbose=0, callbacks=[watch])
    assert len(watch.rates) == 8
    assert watch.rates == pytest.approx(
        [0.5 * rate_at((step + 0.5) / 8, schedule, 0.25) for step in range(8)]
    )
    assert max(watch.rates) < 0.5
    assert np.argmax(watch.rates) == 2
    assert watch.rates[-1] < 0.1 * max(watch.rates)
    assert float(model.optimizer.learning_rate) == 0.5, "the peak is back for the next fit"


def test_known_points_of_the_schedules() -> None:
    assert rate_at(0.05, "linear", 0.1) == pytest.approx(0.5)
    assert rate_at(0.1, "linear", 0.1) == pytest.approx(1.0)
    assert rate_at(0.55, "linear", 0.1) == pytest.approx(0.5)
    assert rate_at(0.55, "cosine", 0.1) == pytest.approx(0.5)
    assert rate_at(1.0, "cosine") == pytest.approx(0.0)
    assert rate_at(0.9, "constant") == 1.0


def test_resumed_fit_goes_on_where_it_was(model: Any, tiny_table: Any) -> None:
    _compile(model, schedule="linear")
    whole, first, second = Watch(), Watch(), Watch()
    model.fit(tiny_table, batch_size=4, epochs=4, verbose=0, callbacks=[whole])
    model.fit(tiny_table, batch_size=4, epochs=4, initial_epoch=2, verbose=0, callbacks=[second])
    assert second.rates == pytest.approx(whole.rates[8:])
    model.fit(tiny_table, batch_size=4, epochs=4, verbose=0, callbacks=first)
    assert first.rates == pytest.approx(whole.rates)


def test_dataset_of_unknown_length_falls_epoch_by_epoch(model: Any, tiny_table: Any) -> None:
    _compile(model, schedule="linear", warmup=0.1)
    unknown = sz.make_dataset(tiny_table, model, 4).filter(lambda *_: True)
    watch = Watch()
    model.fit(unknown, epochs=2, verbose=0, callbacks=[watch])
    assert watch.rates[0] == watch.rates[3] > watch.rates[4] == watch.rates[7] > 0


def test_compiling_again_drops_the_schedule(model: Any, tiny_table: Any) -> None:
    _compile(model, schedule="linear")
    _compile(model)
    watch = Watch()
    model.fit(tiny_table, batch_size=8, epochs=2, verbose=0, callbacks=[watch])
    assert set(watch.rates) == {0.5}


class Then(keras.callbacks.Callback):
    """Does something at the end of a step of all."""

    def __init__(self, at: int, do: Any):
        super().__init__()
        self.at, self.do, self.steps = at, do, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.steps += 1
        if self.steps == self.at:
            self.do(self.model)


def _interrupt(_: Any) -> None:
    raise KeyboardInterrupt


def test_the_peak_is_back_after_an_interrupt(model: Any, tiny_table: Any) -> None:
    _compile(model, schedule="linear")
    with pytest.raises(KeyboardInterrupt):
        model.fit(tiny_table, batch_size=4, epochs=2, verbose=0, callbacks=[Then(7, _interrupt)])
    assert float(model.optimizer.learning_rate) == 0.5


def test_files_written_within_fit_hold_the_peak(
    model: Any, tiny_table: Any, tmp_path: Path
) -> None:
    _compile(model, schedule="linear")
    watch = Watch()
    callbacks = [
        keras.callbacks.ModelCheckpoint(str(tmp_path / "steps.keras"), save_freq=3),
        keras.callbacks.ModelCheckpoint(str(tmp_path / "epochs.keras")),
        keras.callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False),
        Then(7, lambda model: model.save(tmp_path / "user.keras")),
        watch,
    ]
    model.fit(tiny_table, batch_size=4, epochs=2, verbose=0, callbacks=callbacks)
    assert watch.rates == pytest.approx([0.5 * (7.5 - step) / 8 for step in range(8)])
    for name in ("steps", "epochs", "user"):
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        assert float(loaded.optimizer.learning_rate) == 0.5
    model.optimizer.learning_rate = 0.1
    model.load_weights(tmp_path / "backup" / "latest.weights.h5")
    assert float(model.optimizer.learning_rate) == 0.5


class Setter(keras.callbacks.Callback):
    """A user's own schedule."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = 0.2 / (epoch + 1)


def test_a_users_schedule_wins(model: Any, tiny_table: Any) -> None:
    _compile(model, schedule="linear", warmup=0.5)
    for setter, expected in (
        (
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.2 / (epoch + 1)),
            [0.2, 0.2, 0.1, 0.1, 0.2 / 3, 0.2 / 3],
        ),
        (
            keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=9),
            [0.5] * 4 + [0.25] * 2,
        ),
    ):
        watch = Watch()
        model.optimizer.learning_rate = 0.5
        with pytest.warns(UserWarning, match=f"{type(setter).__name__} sets the learning rate"):
            model.fit(tiny_table, batch_size=8, epochs=3, verbose=0, callbacks=[setter, watch])
        assert watch.rates == pytest.approx(expected)


def test_any_callback_that_sets_the_rate_wins(model: Any, tiny_table: Any) -> None:
    _compile(model, schedule="linear")
    watch = Watch()
    with pytest.warns(UserWarning, match="Another callback has set the learning rate to 0.2"):
        model.fit(tiny_table, batch_size=8, epochs=3, verbose=0, callbacks=[Setter(), watch])
    assert watch.rates == pytest.approx([0.2, 0.2, 0.1, 0.1, 0.2 / 3, 0.2 / 3])
    assert float(model.optimizer.learning_rate) == pytest.approx(0.2 / 3)


def test_one_schedule_is_enough(model: Any) -> None:
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    with pytest.raises(ValueError, match="follows one schedule"):
        model.compile(keras.optimizers.SGD(decay), "mse", schedule="linear")


def test_schedule_and_optimizer_survive_a_file(model: Any, tiny_table: Any, tmp_path: Path) -> None:
    model.compile(
        TransformerAdamW(1e-2, no_decay=("bias",)), "sparse_categorical_crossentropy",
        schedule="cosine", warmup=0.2,
    )  # fmt: skip
    model.fit(tiny_table, batch_size=8, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert (loaded.schedule, loaded.warmup) == ("cosine", 0.2)
    assert loaded.optimizer.no_decay == ("bias",)
    assert float(loaded.optimizer.learning_rate) == pytest.approx(1e-2)
    for one, other in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_decay_spares_biases_and_norms(tmp_path: Path) -> None:
    layer = keras.layers.Dense(3, name="dense", bias_initializer="ones")
    layer.build((None, 2))
    norm = keras.layers.LayerNormalization(name="layer_norm")
    norm.build((None, 3))
    variables = layer.trainable_variables + norm.trainable_variables
    before = [v.numpy() for v in variables]
    optimizer = TransformerAdamW(0.1, weight_decay=0.5)
    optimizer.apply([keras.ops.zeros_like(v) for v in variables], variables)
    after = [v.numpy() for v in variables]
    np.testing.assert_allclose(after[0], before[0] * (1 - 0.1 * 0.5), rtol=1e-6)
    for old, new in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(old, new)


def test_wrong_schedules_are_explained(model: Any) -> None:
    with pytest.raises(ValueError, match="`schedule` must be one of"):
        _compile(model, schedule="sawtooth")
    with pytest.raises(ValueError, match="`warmup` must be a rate"):
        LearningRateOverFit("linear", warmup=1.5)
