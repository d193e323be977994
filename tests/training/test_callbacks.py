"""Callbacks: what each choice does to a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.metrics.statistics import best_temperature
from keras_seqzoo.training.callbacks import class_weights, training_callbacks, usual_settings


@pytest.fixture
def model(tiny_table: Any) -> Any:
    keras.utils.set_random_seed(0)
    return sz.build_model("gru", tiny_table, units=4, embedding_dim=8, dropout=0.0)


def test_early_stopping_brings_back_the_best_weights(model: Any, tiny_table: Any) -> None:
    model.optimizer.learning_rate = 0.5
    wrong = sz.TextTable.from_texts(tiny_table.texts, 1 - tiny_table.labels, tiny_table.classes)
    history = model.fit(
        tiny_table, validation_data=wrong, epochs=20, verbose=0,
        callbacks=training_callbacks(patience=2),
    ).history["val_loss"]  # fmt: skip
    assert len(history) < 20
    assert model.evaluate(wrong, verbose=0)[0] == pytest.approx(min(history), abs=1e-5)


def test_a_training_is_judged_by_what_calibration_leaves(model: Any, tiny_table: Any) -> None:
    model.optimizer.learning_rate = 0.5
    wrong = sz.TextTable.from_texts(tiny_table.texts, 1 - tiny_table.labels, tiny_table.classes)
    for valid in (wrong, (wrong.texts, wrong.labels), sz.make_dataset(wrong, model, 3)):
        history = model.fit(
            tiny_table, validation_data=valid, epochs=4, verbose=0,
            callbacks=training_callbacks(patience=9, watched="val_calibrated_loss"),
        ).history["val_calibrated_loss"]  # fmt: skip
        answers = model.predict(wrong.texts, verbose=0)
        logs = np.log(answers) / best_temperature(wrong.labels, answers)
        right = logs[np.arange(len(answers)), wrong.labels]
        expected = np.mean(np.log(np.exp(logs).sum(axis=1)) - right)
        assert min(history) == pytest.approx(expected, abs=1e-4)  # the best weights are back


def test_settings_are_counted_in_steps(model: Any) -> None:
    assert usual_settings(model, 160) == (100, 8, 23)
    assert usual_settings(model, 6920) == (10, 32, 3)
    assert usual_settings(model, 1_000_000) == (10, 32, 2)
    assert usual_settings(model, 6920, batch_size=64, epochs=4) == (4, 64, 5)
    model.schedule = "linear"
    assert usual_settings(model, 160) == (15, 8, None)
    assert usual_settings(model, 720) == (4, 8, None)
    assert usual_settings(model, 6920) == (3, 32, None)
    model.usual_epochs = 1  # as of a few-shot model, or of running text, whose rows are files
    assert usual_settings(model, 1, epochs=50) == (50, 32, None)
    model.schedule = "constant"
    assert usual_settings(model, 1, epochs=50) == (50, 32, 2)
    model.schedule = "linear"
    assert usual_settings(model, 160) == (1, 32, None)


def test_fit_settings_suit_the_task(model: Any, tiny_table: Any) -> None:
    settings = sz.fit_settings(model, tiny_table, plateau=True)
    assert [c.monitor for c in settings["callbacks"]] == ["val_calibrated_loss"] * 2
    history = model.fit(
        tiny_table, validation_data=tiny_table, verbose=0, **{**settings, "epochs": 2}
    ).history
    assert len(history["val_calibrated_loss"]) == 2
    numbers = sz.TextTable.from_texts(tiny_table.texts, np.arange(16.0), target="number")
    model = sz.build_model("gru", numbers, units=4, embedding_dim=8)
    assert sz.fit_settings(model, numbers)["callbacks"][0].monitor == "val_loss"
    with pytest.raises(TypeError, match="Pass the training table"):
        sz.fit_settings(model, sz.make_dataset(numbers, model, 4))
    callbacks = training_callbacks(watched="val_calibrated_loss")
    with pytest.raises(ValueError, match="Watch 'val_loss' instead"):
        model.fit(numbers, validation_data=numbers, callbacks=callbacks, verbose=0)


def test_without_patience_training_goes_through(model: Any, tiny_table: Any) -> None:
    kinds = [type(c).__name__ for c in training_callbacks(patience=None)]
    assert "EarlyStopping" not in kinds


def test_checkpoint_holds_the_best_model(model: Any, tiny_table: Any, tmp_path: Path) -> None:
    file = tmp_path / "new" / "best.keras"
    callbacks = training_callbacks(checkpoint=file, validated=False)
    model.fit(tiny_table, epochs=2, verbose=0, callbacks=callbacks)
    assert keras.models.load_model(file).classes == model.classes


def test_tensorboard_logs(model: Any, tiny_table: Any, tmp_path: Path) -> None:
    callbacks = training_callbacks(tensorboard=tmp_path, validated=False)
    model.fit(tiny_table, epochs=1, verbose=0, callbacks=callbacks)
    assert list(tmp_path.rglob("events.out.*"))


def test_missing_tensorboard_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_seqzoo.training.callbacks.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'keras-seqzoo\[tensorboard\]'"):
        training_callbacks(tensorboard="logs")


def test_plateau_halves_the_rate(model: Any, tiny_table: Any) -> None:
    wrong = sz.TextTable.from_texts(tiny_table.texts, 1 - tiny_table.labels, tiny_table.classes)
    model.optimizer.learning_rate = 0.2
    model.fit(
        tiny_table, validation_data=wrong, epochs=4, verbose=0,
        callbacks=training_callbacks(patience=None, plateau=True),
    )  # fmt: skip
    assert float(model.optimizer.learning_rate) < 0.2


def test_balanced_weights_are_scikit_learn_s() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    table = sz.TextTable.from_texts(["t"] * 10, ["a"] * 9 + ["b"])
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=table.labels)
    assert class_weights("balanced", table) == pytest.approx(dict(enumerate(expected)))
    assert class_weights("none", table) is None


def test_wrong_choices_are_explained(tiny_table: Any) -> None:
    with pytest.raises(ValueError, match="`patience` must be a whole number"):
        training_callbacks(patience=0)
    with pytest.raises(ValueError, match="`mode` must be one of"):
        class_weights("inverse", tiny_table)
