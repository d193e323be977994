"""The report says what scikit-learn says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

import keras_seqzoo as sz


@pytest.fixture(scope="module")
def random_report() -> sz.Report:
    rng = np.random.default_rng(0)
    return sz.Report.from_predictions(
        rng.integers(0, 4, 300), rng.dirichlet(np.ones(4), 300), ["a", "b", "c", "d"]
    )


def test_figures_equal_scikit_learn_s(random_report: sz.Report) -> None:
    labels, probabilities = random_report.labels, random_report.probabilities
    predicted = probabilities.argmax(axis=1)
    assert random_report.accuracy == metrics.accuracy_score(labels, predicted)
    assert random_report.macro_f1 == metrics.f1_score(labels, predicted, average="macro")
    assert random_report.weighted_f1 == metrics.f1_score(labels, predicted, average="weighted")
    assert random_report.log_loss == pytest.approx(metrics.log_loss(labels, probabilities))
    expected = metrics.classification_report(
        labels, predicted, target_names=list("abcd"), output_dict=True
    )
    frame = random_report.to_frame()
    for name in "abcd":
        assert frame.loc[name, "f1"] == expected[name]["f1-score"]
        assert frame.loc[name, "support"] == expected[name]["support"]
    for ours, theirs in (("macro average", "macro avg"), ("weighted average", "weighted avg")):
        for column, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            assert frame.loc[ours, column] == pytest.approx(expected[theirs][key], abs=1e-12)
    np.testing.assert_array_equal(
        random_report.confusion.to_numpy(), metrics.confusion_matrix(labels, predicted)
    )


def test_calibration_error_of_known_cases() -> None:
    confident_and_right = sz.Report.from_predictions([0, 1], [[1, 0], [0, 1]], ["a", "b"])
    assert confident_and_right.calibration_error == 0
    confident_and_wrong = sz.Report.from_predictions([1, 0], [[1, 0], [0, 1]], ["a", "b"])
    assert confident_and_wrong.calibration_error == 1
    # Confidence 0.75 throughout, right in one of two: the distance is 0.25.
    half = sz.Report.from_predictions([0, 0], [[0.75, 0.25], [0.25, 0.75]], ["a", "b"])
    assert half.calibration_error == pytest.approx(0.25)


def test_class_that_occurs_nowhere_does_not_count() -> None:
    report = sz.Report.from_predictions([0, 1], [[1, 0, 0], [0, 1, 0]], ["a", "b", "c"])
    assert report.macro_f1 == 1
    assert report.to_frame().loc["macro average", "f1"] == 1
    assert report.per_class.loc["c", "support"] == 0
    assert report.confusion.shape == (3, 3)


def test_report_prints_and_survives_json(random_report: sz.Report) -> None:
    text = str(random_report)
    assert "300 rows: accuracy" in text
    assert all(f"\n{name} " in text for name in "abcd")
    assert json.loads(json.dumps(random_report.to_dict()))["macro_f1"] == random_report.macro_f1


def test_evaluate_scores_tables_and_streams_alike(
    tiny_model: Any, tiny_table: Any, tmp_path: Path
) -> None:
    report = sz.evaluate(tiny_model, tiny_table)
    assert report.accuracy == tiny_model.evaluate(tiny_table, verbose=0)[1] == 1
    tiny_table.frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    stream = sz.read_table(tmp_path / "t.jsonl", classes=tiny_model.classes, stream=True)
    assert sz.evaluate(tiny_model, stream).log_loss == pytest.approx(report.log_loss, abs=1e-6)


def test_wrong_input_is_explained(tiny_model: Any, tiny_table: Any) -> None:
    with pytest.raises(ValueError, match="Only labelled texts"):
        sz.evaluate(tiny_model, sz.TextTable.from_texts(["a"]))
    with pytest.raises(ValueError, match=r"classes=model\.classes"):
        sz.evaluate(tiny_model, sz.TextTable.from_texts(["a", "b"], ["x", "y"]))
    with pytest.raises(ValueError, match="nothing to evaluate"):
        sz.evaluate(tiny_model, tiny_table.take([]))
    with pytest.raises(ValueError, match="shape"):
        sz.Report.from_predictions([0, 1], [[1, 0]], ["a", "b"])
