from __future__ import annotations

import math
import warnings
from datetime import timedelta

import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.comparison.candidates import (
    in_order_of_teaching,
    make_plan,
    parse_budget,
    parse_candidates,
)
from keras_seqzoo.comparison.compare import check_parts


def test_names_dicts_and_labels_become_candidates_and_baselines_come_last():
    models = ["lstm", {"model": "gru", "label": "small", "units": 8, "epochs": 2}]
    found = parse_candidates(models, ("majority", "tfidf_logreg"))
    assert [c.label for c in found] == ["lstm", "small", "majority", "tfidf_logreg"]
    assert found[1].options == {"units": 8}
    assert found[1].epochs == 2
    assert [c.is_baseline for c in found] == [False, False, True, True]
    by_label = parse_candidates({"a": "lstm", "b": {"model": "lstm", "units": 128}})
    assert [(c.label, c.model) for c in by_label[:2]] == [("a", "lstm"), ("b", "lstm")]


def test_a_folder_is_labelled_by_its_last_part(tmp_path):
    folder = tmp_path / "my_encoder" / "2"
    folder.mkdir(parents=True)
    assert parse_candidates([str(folder)])[0].label == "my_encoder"


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "must be a model to compare"),
        (["lstm", "lstm"], "Received: 'lstm' twice"),
        (["lstn"], "Did you mean 'lstm'"),
        ([{"model": "lstm", "unitz": 3}], "Did you mean 'units'"),
        ({"majority": "lstm"}, "the name of a baseline"),
        ([{"model": "lstm", "epochs": 0}], "`epochs` must be a whole number"),
        ([{"model": "lstm", "learning_rate": "1e-3"}], "`learning_rate` must be a number"),
        ([{"model": "lstm", "search": {"units": 3}}], "`search` lists the values"),
        ([{"model": "lstm", "search": {"unitz": [3]}}], "Did you mean 'units'"),
        ([{"model": "lstm", "vocabulary": {"a", "b"}}], "plain values"),
    ],
)
def test_models_that_can_not_be_compared_are_refused(models, message):
    with pytest.raises(ValueError, match=message):
        parse_candidates(models)


@pytest.mark.parametrize("models", [[3], [{"units": 3}], [None]])
def test_what_is_no_model_is_refused(models):
    with pytest.raises(TypeError, match="A model is a name, or a dict"):
        parse_candidates(models)


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [
        ("10min", 600),
        ("10m", 600),
        ("1h30min", 5400),
        (2.5, 2.5),
        ("600", 600),
        (" 600 ", 600),
        ("6e2", 600),
        (np.int64(600), 600),
        (np.timedelta64(10, "m"), 600),
        (timedelta(minutes=10), 600),
        (None, None),
    ],
)
def test_budgets_are_read_as_times(budget, seconds):
    assert parse_budget(budget) == seconds


@pytest.mark.parametrize(
    "budget",
    ["soon", "1 fortnight", "1h30", "", "nan", "inf", "-600", "-3s", 0, "0min", True, [], math.nan],
)
def test_a_budget_that_is_no_time_is_refused(budget):
    with pytest.raises(ValueError, match="`budget` is the most time"):
        parse_budget(budget)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bidirectional": "false"}, "`bidirectional` must be True or False"),
        ({"search": {"bidirectional": [True, "false"]}}, "`bidirectional` must be True or False"),
        ({"learning_rate": "fast"}, "`learning_rate` must be a number above 0"),
        ({"learning_rate": 0}, "`learning_rate` must be a number above 0"),
    ],
)
def test_values_of_a_wrong_type_are_refused_at_once(changed, message):
    with pytest.raises(ValueError, match=message):
        parse_candidates([{"model": "gru", **changed}])


def test_seeds_are_a_number_of_them_or_themselves():
    def plan(seeds):
        return make_plan(seeds, None, None, None, 2, 0, 5)

    assert plan(3).seeds == (0, 1, 2)
    assert plan([7, 3]).seeds == (7, 3)
    for wrong in (0, [], [1, 1], ["a"], [-1], True):
        with pytest.raises(ValueError, match="seeds"):
            plan(wrong)


def test_an_epoch_is_chosen_by_loss_or_accuracy():
    with pytest.raises(ValueError, match="`keep` must be one of"):
        make_plan(1, None, None, None, 2, 0, 5, "f1")


def test_what_decides_the_answers_decides_the_digest():
    lstm, large = parse_candidates({"lstm": "lstm", "b": {"model": "lstm", "units": 9}})[:2]
    plan, longer, more = (
        make_plan(seeds, None, epochs, None, 2, 0, 5)
        for seeds, epochs in ((2, None), (2, 9), (3, None))
    )
    versions = {"Keras": "3"}
    assert plan.digest(lstm, versions) == more.digest(lstm, versions)
    others = {
        longer.digest(lstm, versions),
        plan.digest(large, versions),
        plan.digest(lstm, {"Keras": "4"}),
    }
    assert plan.digest(lstm, versions) not in others
    assert len(others) == 3


PAIRS = (["a", "b"], ["c", "d"])


def _parts(**changed):
    table = sz.TextTable.from_texts(["a", "b", "c"], ["x", "y", "x"])
    return {"train": table, "valid": table, "test": table} | changed


def test_parts_must_be_tables_with_labels_rows_and_the_same_classes():
    with pytest.raises(TypeError, match=r"`valid` must be a TextTable"):
        check_parts(_parts(valid=["a"]))
    for wrong, message in (
        (sz.TextTable.from_texts(["a"]), "takes labelled rows"),
        (_parts()["test"].take([]), "takes labelled rows"),
        (sz.TextTable.from_texts(["a", "b"], ["y", "z"]), "and the same classes"),
        (sz.TextTable.from_texts(["a", "b"], [1.5, 2.5], target="number"), "the numbers 'label'"),
        (sz.TextTable.from_texts(PAIRS, ["x", "y"]), "Received: train of texts .*, test of pairs"),
    ):
        with pytest.raises(ValueError, match=message):
            check_parts(_parts(test=wrong))


def test_a_class_that_is_missing_is_refused_in_training_and_told_of_elsewhere():
    table = _parts()["train"]
    with pytest.raises(ValueError, match=r"Every class must have a row to train on.*'y'"):
        check_parts(_parts(train=table.take([0, 2])))
    with pytest.warns(UserWarning, match="No row of test is of the class 'y'"):
        check_parts(_parts(test=table.take([0, 2])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_parts(_parts())


def test_a_label_that_is_missing_is_told_of_in_training_too():
    table = sz.TextTable.from_texts(["a", "b", "c"], [["x"], ["y"], []])
    parts = _parts(train=table.take([0, 2]), valid=table, test=table)
    with pytest.warns(UserWarning, match="train has the label .y.: .* cannot train on it"):
        check_parts(parts)


def test_the_accuracy_chooses_an_epoch_of_classes_alone():
    table = sz.TextTable.from_texts(["a", "b"], [1.5, 2.5], target="number")
    with pytest.raises(ValueError, match="Only classes have an accuracy"):
        sz.compare(["gru"], table, table, table, keep="val_accuracy", progress=False)


def test_a_student_is_trained_after_its_teacher():
    models = [
        {"model": "gru", "teacher": "middle", "augment": 2},
        {"model": "lstm", "label": "middle", "teacher": "bilstm"},
        "bilstm",
    ]
    candidates = parse_candidates(models)
    assert [c.label for c in candidates] == ["gru taught by middle", "middle", "bilstm"]
    assert [c.model for c in in_order_of_teaching(candidates)] == ["bilstm", "lstm", "gru"]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ({"a": {"model": "gru", "teacher": "a"}}, "its own student"),
        (
            {"a": {"model": "gru", "teacher": "b"}, "b": {"model": "gru", "teacher": "a"}},
            "its own student",
        ),
        ({"minilm": "lstm", "a": {"model": "gru", "teacher": "minlm"}}, "Did you mean 'minilm'"),
        ({"a": {"model": "gru", "augment": 2}}, "for a teacher to answer. Name a teacher"),
        (
            {"b": "lstm", "a": {"model": "gru", "teacher": "b", "augment": {"drop": 1}}},
            "a dict of copies, mask, ngram, mix",
        ),
    ],
)
def test_a_teacher_that_cannot_be_is_refused(models, message):
    with pytest.raises(ValueError, match=message):
        parse_candidates(models)
