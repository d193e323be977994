"""What is said of the data is so, and survives a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import keras_seqzoo as sz
from keras_seqzoo.evaluation.data_summary import DataSummary, summarise

CLASSES = ["neg", "pos"]


def table(texts: list[str], labels: list[str]) -> sz.TextTable:
    return sz.TextTable.from_texts(texts, labels, classes=CLASSES)


def sound(rows: int, start: int = 0) -> sz.TextTable:
    texts = [f"text number {i}" for i in range(start, start + rows)]
    return table(texts, [CLASSES[i % 2] for i in range(rows)])


def test_a_sound_split_is_not_warned_of() -> None:
    found = summarise(sound(400), sound(100, 400), sound(100, 500))
    assert list(found.parts.index) == ["train", "valid", "test"]
    assert found.parts["rows"].tolist() == [400, 100, 100]
    assert found.class_counts.to_dict()["valid"] == {"neg": 50, "pos": 50}
    assert (found.shared, found.shared_examples, found.warnings) == ({}, (), ())


def test_rows_are_counted() -> None:
    train = table(
        ["Good film", " good FILM ", "good film", "bad", "", "   ", "one two three four"],
        ["pos", "pos", "neg", "neg", "neg", "neg", "pos"],
    )
    found = summarise(train)
    assert found.parts.loc["train"].to_dict() == {
        "rows": 7,
        "empty": 2,
        "duplicates": 3,  # two of the film, one of nothing
        "conflicts": 1,
        "words_median": 2,
        "words_p95": pytest.approx(2 + 0.7 * 2),
        "words_max": 4,
        "characters_median": 9,
        "characters_max": 18,
    }
    assert found.warnings == (
        "1 text of train occurs with different labels: no model can be right in all of these rows.",
        "2 texts of train are empty.",
    )


def test_shared_texts_are_found() -> None:
    train = table(["Good", "bad", "so so", ""], ["pos", "neg", "neg", "neg"])
    test = table([" GOOD", "good", "bad", "new", ""], ["pos", "pos", "neg", "pos", "neg"])
    found = summarise(train, table(["bad", "also new"], ["neg", "pos"]), test)
    assert found.shared == {"train and valid": 1, "train and test": 2, "valid and test": 1}
    assert found.shared_examples == ("bad", " GOOD")
    assert (
        "2 texts of train are also in test, in 3 of its 5 rows: the accuracy on them is not earned."
    ) in found.warnings
    many = summarise(sound(30), test=sound(30))
    assert many.shared == {"train and test": 30}
    assert len(many.shared_examples) == 5


def test_classes_and_sizes_are_warned_of() -> None:
    train = table([f"text {i}" for i in range(20)], ["neg"] * 20)
    test = table([f"other {i}" for i in range(20)], ["neg"] * 19 + ["pos"])
    assert summarise(train, test=test).warnings == (
        "Class 'pos' has no rows in train and cannot be learnt.",
        "95.0 % of the rows of test are of class 'neg': look at macro-F1, for accuracy is high "
        "without any skill.",
        "The test has only 20 rows: the standard error of an accuracy is up to 11.2 percentage "
        "points.",
    )
    names = [f"class {i}" for i in range(20)]
    some = sz.TextTable.from_texts(["a", "b"], names[:2], classes=names)
    assert "and 13 more have no rows in valid and cannot be validated" in str(
        summarise(valid=some).warnings
    )


def test_unlabelled_and_empty_parts(tmp_path: Path) -> None:
    texts = sz.TextTable.from_texts(["a", "b c"])
    found = summarise(texts, texts.take([]))
    assert list(found.parts.index) == ["train"]
    assert found.parts.loc["train", "conflicts"] == 0
    assert found.class_counts.empty
    assert found.warnings == ()


def test_pairs_are_the_same_where_both_texts_are() -> None:
    train = sz.TextTable.from_texts(
        [("A b", "c d e"), ("a B", " C d e"), ("a b", "other"), ("", "x")], ["p", "n", "p", "n"]
    )
    test = sz.TextTable.from_texts(
        [("a b", "c d E"), ("c d e", "a b"), ("", " ")], ["p", "n", "p"], target=train.target
    )
    found = summarise(train, test=test)
    assert found.parts.loc["train"].to_dict() == {
        "rows": 4,
        "empty": 1,
        "duplicates": 1,
        "conflicts": 1,
        "words_median": 4,
        "words_p95": 5,
        "words_max": 5,
        "characters_median": 8,
        "characters_max": 9,
    }
    assert found.shared == {"train and test": 1}
    assert found.shared_examples == ("a b | c d E",)
    assert found.warnings[0].startswith("1 pair of train is also in test, in 1 of its 3 rows")
    assert "1 pair of train occurs with different labels" in found.warnings[2]
    assert found.warnings[3:] == (
        "1 pair of train has an empty text.",
        "1 pair of test has an empty text.",
    )


def test_rows_with_each_label_are_counted() -> None:
    labels = [["a", "b"], ["a"], [], ["a"]]
    train = sz.TextTable.from_texts(["v", "w", "x", "X"], labels, classes=["a", "b", "c"])
    found = summarise(train)
    assert found.class_counts["train"].to_dict() == {"a": 3, "b": 1, "c": 0}
    assert found.parts.loc["train", "conflicts"] == 1
    assert found.warnings[0] == "Label 'c' has no rows in train and cannot be learnt."
    assert len(found.warnings) == 2
    with pytest.raises(ValueError, match="same classes, labels or numbers"):
        summarise(train, test=sz.TextTable.from_texts(["x", "y"], [["a"], ["b"]]))


def test_numbers_are_summed_up() -> None:
    numbers = np.array([[1.5, 10], [2, 20], [4, 30]])
    train = sz.TextTable.from_texts(["x", "y", "z"], numbers)
    test = sz.TextTable.from_texts(["v"], [[2, 2]], target=train.target)
    found = summarise(train, test=test)
    assert found.class_counts.empty
    assert found.numbers.round(3).to_numpy().tolist() == [
        ["train", "0", 1.5, 2.0, 4.0, 2.5, 1.08],
        ["train", "1", 10.0, 20.0, 30.0, 20.0, 8.165],
        ["test", "0", 2.0, 2.0, 2.0, 2.0, 0.0],
        ["test", "1", 2.0, 2.0, 2.0, 2.0, 0.0],
    ]
    assert found.warnings == (
        "The test has only 1 row: another draw of them would give other figures.",
    )


def test_what_was_written_before_there_were_numbers_is_read() -> None:
    values = summarise(sound(5)).as_dict()
    del values["numbers"]
    assert DataSummary.from_dict(values).numbers.empty


@pytest.mark.parametrize(
    "tables",
    [
        {"train": sound(5), "test": sound(3)},
        {"train": sz.TextTable.from_texts((["a", "b"], ["c", "d"]), [1.5, 2], target="number")},
        {"valid": sz.TextTable.from_texts(["a", "b"], [["x"], ["x", "y"]])},
        {"test": sound(200)},
        {"valid": sz.TextTable.from_texts(["a"])},
    ],
)
def test_it_survives_json(tables: dict[str, Any]) -> None:
    found = summarise(**tables)
    again = DataSummary.from_dict(json.loads(json.dumps(found.as_dict())))
    pd.testing.assert_frame_equal(again.parts, found.parts)
    pd.testing.assert_frame_equal(again.class_counts, found.class_counts, check_index_type=False)
    pd.testing.assert_frame_equal(again.numbers, found.numbers, check_dtype=False)
    for name in ("shared", "shared_examples", "warnings"):
        assert getattr(again, name) == getattr(found, name)


def test_wrong_input_is_explained(tmp_path: Path) -> None:
    sound(4).frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    stream = sz.read_table(tmp_path / "t.jsonl", stream=True)
    wrong: Any = stream
    with pytest.raises(TypeError, match=r"without stream=True.*Received: test=TextStream"):
        summarise(test=wrong)
    with pytest.raises(ValueError, match=r"Received: train=None, valid=TextTable.*0 rows"):
        summarise(valid=sound(4).take([]))
    with pytest.raises(ValueError, match="same classes"):
        summarise(sound(4), test=sz.TextTable.from_texts(["a", "b"], ["x", "y"]))
