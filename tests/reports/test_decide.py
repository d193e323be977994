"""`decide`: what is answered by thresholds, by NumPy and in the graph, and what keeps it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from samples import NEGATIVE, POSITIVE

import keras_seqzoo as sz
from keras_seqzoo.data.targets import AnyOf, OneOf
from keras_seqzoo.serving.saved import SavedPredictor
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.label import Label

TEXTS = POSITIVE + NEGATIVE
ABC = OneOf(("a", "b", "c"))
ROWS = np.array([[0.6, 0.3, 0.1], [0.45, 0.45, 0.1], [0.2, 0.3, 0.5]], np.float32)


@pytest.fixture
def model(tiny_table: Any) -> Any:
    keras.utils.set_random_seed(0)
    return sz.build_model("gru", tiny_table, units=4, embedding_dim=8, dropout=0.0)


@pytest.fixture
def many(tiny_table: Any) -> sz.TextTable:
    names = [tiny_table.classes[i] for i in tiny_table.labels]
    return sz.TextTable.from_texts([*tiny_table.texts] * 8, names * 8, tiny_table.classes)


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ((), ["a", "a", "c"]),
        ((0.5, 0.5, 0.5), ["a", "unsure", "c"]),
        ((0.7, 0, 0), ["b", "b", "c"]),  # the likeliest of the others
        ((0, 0, 0.1), ["c", "c", "c"]),
        ((0, 0.25, 0.45), ["b", "b", "b"]),  # 0.3 is 1.2 times 0.25, and 0.5 only 1.1 times 0.45
        ((0.9, 0.9, 0), ["c", "c", "c"]),
    ],
)
def test_what_is_said(thresholds: tuple[float, ...], said: list[str]) -> None:
    task = Classify(ABC, thresholds)
    assert [row["label"] for row in task.decode(ROWS)] == said
    assert [task.said(row) for row in ROWS] == said
    assert task_from_dict(task.as_dict()) == task


@pytest.mark.parametrize("seed", range(5))
def test_the_graph_says_what_numpy_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outputs = rng.dirichlet([0.5] * 3, 500).astype(np.float32)
    thresholds = np.float32(rng.random(3) * (rng.random(3) < 0.8))
    outputs[:9].ravel()[::2] = thresholds[1]  # right at one
    task = Classify(ABC, tuple(map(float, thresholds)))
    answer = {k: v.numpy() for k, v in task.answer(tf.constant(outputs)).items()}
    plain = task.decode(outputs)
    assert [label.decode() for label in answer["label"]] == [row["label"] for row in plain]
    np.testing.assert_array_equal(answer["probability"], [row["probability"] for row in plain])
    np.testing.assert_array_equal(answer["probabilities"], outputs)
    asked = {k: v.numpy() for k, v in task.api_answer(tf.constant(outputs)).items()}
    if not thresholds.any():
        return
    np.testing.assert_array_equal(asked["classes"][:, 0], answer["label"])
    np.testing.assert_array_equal(asked["scores"][:, 0], answer["probability"])
    np.testing.assert_array_equal(asked["scores"][:, 1:], outputs)


def test_figures_of_what_is_answered() -> None:
    report = sz.Report.from_predictions([0, 1, 1], ROWS, Classify(ABC, (0.5, 0.5, 0.5)))
    assert (report.answered, report.answered_error) == (pytest.approx(2 / 3), 0.5)
    assert report.accuracy == pytest.approx(1 / 3)  # the unsure row counts by its likeliest class
    assert report.task.worst(report.labels, report.outputs, 5).tolist() == [2]
    assert "answered" in str(report)
    assert report.to_dict()["coverage"][0]["rows"] == 3
    report = sz.Report.from_predictions([0, 1, 1], ROWS, Classify(ABC, (0.9, 0.9, 0.9)))
    assert np.isnan(report.answered_error)
    assert any("No row is answered" in warning for warning in report.warnings)
    report = sz.Report.from_predictions([0, 1, 1], ROWS, Classify(ABC, (0.7, 0.0, 0.0)))
    assert report.confusion["b"].tolist() == [1, 1, 0]  # classes with thresholds alone: as decided
    assert "answered" not in report.figures


def test_unsure_is_an_answer_that_comes_and_goes() -> None:
    task = Classify(ABC, (0.5, 0.5, 0.5))
    changed, left = task.changes(ROWS[0], ROWS, None, None)
    assert changed.tolist() == [False, True, True]
    changed, left = task.changes(ROWS[1], ROWS, None, None)
    assert changed.tolist() == [True, False, True]
    assert left.argmin() == 0  # the furthest from being unsure


def test_an_error_is_promised(model: Any, many: sz.TextTable) -> None:
    found = sz.decide(model, many, error=0.8)  # which any model has
    assert found.report.answered == 1
    assert set(found.thresholds) == {"negative", "positive"}
    assert "Promised an error of at most 0.8 at level 0.9, chosen on 128 rows" in str(found)
    assert found.as_dict()["report"]["answered"] == 1
    assert model.task.thresholds == tuple(found.thresholds.values())


@pytest.mark.slow
def test_files_and_exports_answer_as_decided(
    model: Any, many: sz.TextTable, tmp_path: Path
) -> None:
    before = model.predict(TEXTS, verbose=0)
    layer = model.get_layer("probabilities")
    layer.thresholds.assign([float(np.sort(before.max(axis=1))[7:9].mean())] * 2)
    said = [row["label"] for row in model.task.decode(before)]
    assert said.count("unsure") == 8
    np.testing.assert_array_equal(model.predict(TEXTS, verbose=0), before)
    assert sz.evaluate(model, many).answered == 0.5
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    saved = SavedPredictor(sz.export_model(model, tmp_path / "served"))
    for other in (again, saved):
        assert [row["label"] for row in other.task.decode(other.predict(TEXTS))] == said
        assert sz.evaluate(other, many).answered == 0.5
    answer = saved._answer(text=tf.constant(TEXTS))
    assert [label.decode() for label in answer["label"].numpy()] == said
    with pytest.raises(TypeError, match=r"kept in a model's weights.*SavedPredictor"):
        sz.decide(saved, many, error=0.1)
    with pytest.warns(UserWarning, match="training removes them"):
        model.fit(many, verbose=0)
    assert model.task.thresholds == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(many, verbose=0)


def test_precision_and_recall_of_classes(model: Any, many: sz.TextTable) -> None:
    found = sz.decide(model, many, precision={"positive": 0.3})
    assert list(found.thresholds) == ["positive"]
    row = found.to_frame().loc["positive"]
    assert row["promised"] == "precision 0.3"
    assert row["precision"] == row["right"] / row["given"] > 0.3
    assert "positive" in str(found)
    found = sz.decide(model, many, recall={"negative": 0.9})  # anew
    assert list(found.thresholds) == ["negative"]
    assert found.to_frame().loc["negative", "recall"] > 0.9


def test_labels_have_their_own(model: Any) -> None:
    truth = np.array([[1, 0], [0, 1]] * 60)
    task = Label(AnyOf(("x", "y")), (0.3, 0.4))
    outputs = np.where(truth, 0.8, 0.1)
    decided = task.decide(truth, outputs, None, {"x": 0.9}, {}, 0.9)
    assert decided.thresholds == (pytest.approx(0.45), 0.4)
    with pytest.raises(ValueError, match="never unsure"):
        task.decide(truth, outputs, 0.1, {}, {}, 0.9)


def test_files_of_before_have_no_thresholds(model: Any, tmp_path: Path) -> None:
    model.save_weights(tmp_path / "m.weights.h5")
    expected = model.predict(TEXTS, verbose=0)
    with h5py.File(tmp_path / "m.weights.h5", "a") as file:
        weights = file["layers/class_probabilities/vars"]
        assert set(weights) == {"0", "1"}
        del weights["1"]
    model.get_layer("probabilities").thresholds.assign([0.5, 0.5])
    model.load_weights(tmp_path / "m.weights.h5")
    assert model.task.thresholds == ()
    np.testing.assert_array_equal(model.predict(TEXTS, verbose=0), expected)


def test_files_of_before_train_as_they_did(model: Any) -> None:
    """Their configuration tells nothing of the weights of `probabilities`."""
    config = model.get_config()
    frozen, layers = config["frozen"]
    config["frozen"] = [[i for i in frozen if i < len(model.weights) - 2], layers]
    again = type(model).from_config(config)
    names = [weight.path for weight in model.trainable_variables]
    assert [weight.path for weight in again.trainable_variables] == names


@pytest.mark.parametrize(
    ("wanted", "error", "message"),
    [
        ({}, ValueError, "Pass one of the two. Received: error=None"),
        ({"error": 0.1, "recall": {"positive": 0.9}}, ValueError, "Pass one of the two"),
        ({"error": 0}, ValueError, "`error` must be a number above 0 and below 1"),
        ({"error": 0.1, "level": 0.2}, ValueError, "`level` must be from 0.5 to below 1"),
        ({"precision": 0.9}, TypeError, "`precision` is a dict by class or label"),
        ({"recall": {"good": 0.9}}, ValueError, "'good'.*of 'negative', 'positive'"),
        ({"error": 0.001}, ValueError, r"No threshold promises that error.*nearest is error=0\.\d"),
    ],
)
def test_what_cannot_be_decided(
    model: Any, many: sz.TextTable, wanted: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        sz.decide(model, many, **wanted)
    assert model.task.thresholds == ()


def test_models_that_decide_nothing_say_so(model: Any) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": np.arange(16) / 2})
    numbers = sz.read_table(frame, target="number")
    regressor = sz.build_model("gru", numbers, units=4)
    with pytest.raises(ValueError, match=r"Only classes and labels.*the task 'regress'"):
        sz.decide(regressor, numbers, error=0.1)
    task = Classify(OneOf(("sure", "unsure")))
    truth = np.array([0, 1] * 60)
    with pytest.raises(ValueError, match=r"The answer 'unsure' is reserved.*another name"):
        task.decide(truth, np.eye(2)[truth], 0.1, {}, {}, 0.9)
    assert task.decide(truth, np.eye(2)[truth], None, {"sure": 0.9}, {}, 0.9).thresholds[1] == 0
