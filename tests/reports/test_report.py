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
    assert random_report.log_loss == metrics.log_loss(labels, probabilities)
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


@pytest.mark.parametrize(("classes", "rows"), [(2, 1), (2, 1000), (50, 60), (50, 1000)])
def test_figures_by_class_equal_scikit_learn_s(classes: int, rows: int) -> None:
    rng = np.random.default_rng(classes + rows)
    labels, probabilities = rng.integers(0, classes, rows), rng.dirichlet(np.ones(classes), rows)
    report = sz.Report.from_predictions(labels, probabilities, [*map(str, range(classes))])
    predicted, numbers = probabilities.argmax(axis=1), range(classes)
    expected = metrics.precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=0
    )
    for column, scores in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_array_equal(report.per_class[column], scores)
    np.testing.assert_array_equal(
        report.confusion, metrics.confusion_matrix(labels, predicted, labels=numbers)
    )
    assert report.macro_f1 == metrics.f1_score(labels, predicted, average="macro")
    assert report.weighted_f1 == metrics.f1_score(labels, predicted, average="weighted")
    assert report.log_loss == metrics.log_loss(labels, probabilities, labels=numbers)


def test_probabilities_of_float32_are_scored_without_a_warning(
    recwarn: pytest.WarningsRecorder,
) -> None:
    rng = np.random.default_rng(0)
    labels, exact = rng.integers(0, 5, 100), rng.dirichlet(np.ones(5), 100)
    rounded = (exact * (1 + 1e-6)).astype(np.float32)
    report = sz.Report.from_predictions(labels, rounded, list("abcde"))
    assert report.log_loss == pytest.approx(metrics.log_loss(labels, exact), abs=1e-6)
    assert not recwarn.list


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


def test_classes_without_rows_are_warned_of() -> None:
    report = sz.Report.from_predictions([0, 0], [[1, 0, 0], [0, 1, 0]], ["a", "b", "c"])
    names = "'b', 'c'"
    assert report.warnings == (
        f"No row is of the 2 classes {names}: the report cannot say how well the model finds them.",
    )
    assert str(report).endswith(report.warnings[0])
    many = sz.Report.from_predictions([0, 1], np.eye(20)[:2], [*map(str, range(20))])
    assert "18 classes '2', '3', '4', '5', '6', …:" in many.warnings[0]


def test_one_answer_to_everything_is_warned_of() -> None:
    report = sz.Report.from_predictions([0, 1, 1, 1], [[0.4, 0.6]] * 4, ["a", "b"])
    assert report.accuracy == 0.75
    assert report.warnings == (
        "All 4 answers are 'b', which 75.0% of the rows are: the model does not tell the classes "
        "apart here.",
    )


def test_sound_report_has_no_warnings(random_report: sz.Report) -> None:
    assert random_report.warnings == ()
    assert random_report.confusion.to_string() in str(random_report)
    assert str(random_report).splitlines()[-1].startswith("0.50 ")


def test_notebooks_show_the_figures_by_class() -> None:
    report = sz.Report.from_predictions([0, 1], [[1, 0, 0], [0, 1, 0]], ["<a>", "b", "c"])
    shown = report._repr_html_()
    for text in ("accuracy", "1.0000", "2 rows", "&lt;a&gt;", "No row is of class", "support"):
        assert text in shown
    assert "<a>" not in shown


def test_evaluate_scores_tables_and_streams_alike(
    tiny_model: Any, tiny_table: Any, tmp_path: Path
) -> None:
    report = sz.evaluate(tiny_model, tiny_table)
    assert report.accuracy == tiny_model.evaluate(tiny_table, verbose=0)[1] == 1
    tiny_table.frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    stream = sz.read_table(tmp_path / "t.jsonl", classes=tiny_model.classes, stream=True)
    streamed = sz.evaluate(tiny_model, stream)
    assert streamed.log_loss == pytest.approx(report.log_loss, abs=1e-6)
    assert streamed.intervals["accuracy"] == pytest.approx(report.intervals["accuracy"])


def test_evaluate_on_one_class_alone(tiny_model: Any) -> None:
    table = sz.TextTable.from_texts(["awful", "dull"], ["negative"] * 2, tiny_model.classes)
    report = sz.evaluate(tiny_model, table)
    assert report.accuracy == 1
    assert "No row is of class 'positive'" in report.warnings[0]
    assert report.warnings[1].startswith(
        "Every answer is right, in 2 rows: that leaves an accuracy"
    )


@pytest.mark.parametrize("said", [0, 1])
def test_rows_of_one_class_do_not_show_that_a_model_tells_nothing_apart(said: int) -> None:
    report = sz.Report.from_predictions([0] * 50, np.eye(2)[[said] * 50], ["a", "b"])
    told = " ".join(report.warnings)
    assert "apart" not in told
    assert ("Every answer is right, in 50 rows" in told) == (said == 0)
    assert "No row is of class 'b'" in told


def test_the_texts_are_kept_of_a_table_alone(tiny_model: Any, tiny_table: Any) -> None:
    report = sz.evaluate(tiny_model, tiny_table)
    assert report.texts is not None
    assert report.texts.tolist() == tiny_table.texts.tolist()
    assert "a good film" not in repr(report)
    assert sz.Report.from_predictions([0], [[1, 0]], ["a", "b"], texts=["x"]).texts == ["x"]


def test_wrong_input_is_explained(tiny_model: Any, tiny_table: Any) -> None:
    for given in (tiny_table.frame, ["a good film"], np.array(["a"]), "reviews.csv", None):
        with pytest.raises(TypeError, match=r"takes a table\. Pass read_table\(.* Received: "):
            sz.evaluate(tiny_model, given)
    with pytest.raises(ValueError, match="Only labelled texts"):
        sz.evaluate(tiny_model, sz.TextTable.from_texts(["a"]))
    with pytest.raises(ValueError, match=r"classes=model\.classes"):
        sz.evaluate(tiny_model, sz.TextTable.from_texts(["a", "b"], ["x", "y"]))
    with pytest.raises(ValueError, match="nothing to evaluate"):
        sz.evaluate(tiny_model, tiny_table.take([]))
    with pytest.raises(ValueError, match="shape"):
        sz.Report.from_predictions([0, 1], [[1, 0]], ["a", "b"])
    with pytest.raises(ValueError, match="as many texts as labels"):
        sz.Report.from_predictions([0], [[1, 0]], ["a", "b"], texts=["x", "y"])
