"""Labels that are likely wrong, texts that are nearly the same, and what to label next."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.evaluation.suspects import doubted

GOOD, BAD = ("lovely", "warm", "funny", "superb"), ("dull", "cold", "weak", "boring")


def rows(count: int = 200, seed: int = 0) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for number in range(count):
        words = (GOOD, BAD)[number % 2]
        said = rng.choice([*words, "film", "plot", "of", "the"], 6)
        texts.append(f"{rng.choice(words)} {' '.join(said)} {number}")
        labels.append(("pos", "neg")[number % 2])
    return texts, labels


def test_flipped_labels_are_found() -> None:
    texts, labels = rows()
    flipped = [3, 40, 77, 120]
    given = [{"pos": "neg", "neg": "pos"}[y] if n in flipped else y for n, y in enumerate(labels)]
    found = sz.suspects(sz.TextTable.from_texts(texts, given))
    assert set(found.labels["row"].head(4)) == set(flipped)
    first = found.labels.iloc[0]
    assert first["label"] == given[first["row"]]
    assert first["likely"] == labels[first["row"]]
    assert first["of_label"] < first["of_likely"]
    assert 0.95 < found.accuracy < 1
    assert f"row {first['row']}: {first['label']}, likely {first['likely']}" in str(found)
    assert json.loads(json.dumps(found.as_dict(), default=float))["rows"] == 200


def test_the_least_sure_label_comes_first() -> None:
    given = np.array([[0.8, 0.2], [0.3, 0.7], [0.5, 0.5], [0.1, 0.9], [0.4, 0.6]])
    found, likely = doubted(np.array([0, 0, 0, 0, 1]), given)
    assert found.tolist() == [3, 1]
    assert likely.tolist() == [1, 1]


def test_near_duplicates_and_leaks() -> None:
    texts = ["a warm, funny film", "A warm funny film", "another thing", "a warm, funny film !", ""]
    table = sz.TextTable.from_texts(texts, ["y", "n", "n", "y", "y"])
    other = sz.TextTable.from_texts(["Another thing", "something else"], ["n", "y"])
    found = sz.suspects(table, test=other, similarity=0.6, folds=2)
    assert found.duplicates[["row", "like"]].to_numpy().tolist() == [[3, 0], [1, 0]]
    assert found.duplicates["similarity"].is_monotonic_decreasing
    assert found.conflicts["row"].tolist() == [1]
    assert found.leaks[["row", "like"]].to_numpy().tolist() == [[0, 2]]
    alone = sz.suspects(sz.TextTable.from_texts(["", "  "], None))
    assert (len(alone.duplicates), alone.accuracy) == (0, None)


def test_a_model_may_be_asked() -> None:
    class Sure:
        classes = ("neg", "pos")

        def predict(self, texts: Any, **_: Any) -> Any:
            return np.array([[0.1, 0.9] if "lovely" in t else [0.7, 0.3] for t in texts])

    table = sz.TextTable.from_texts(["lovely", "dull", "lovely one"], ["pos", "neg", "neg"])
    found = sz.suspects(table, Sure())
    assert found.labels["row"].tolist() == [2]
    uncertain = sz.most_uncertain(Sure(), table, 2)
    assert uncertain["row"].tolist() == [1, 0]
    assert uncertain["label"].tolist() == ["neg", "pos"]
    assert uncertain["margin"].tolist() == pytest.approx([0.4, 0.8])
    three = sz.TextTable.from_texts(["a", "b", "c"], ["x", "y", "z"])
    with pytest.raises(ValueError, match="classes of the table"):
        sz.suspects(three, Sure())


@pytest.mark.parametrize(
    ("labels", "options", "said"),
    [
        (["a", "b", "b", "b"], {}, "1 row of 'a'"),
        (["a", "a", "b", "b"], {"folds": 1}, "folds=1"),
        (["a", "a", "b", "b"], {"similarity": 0}, "similarity=0"),
        ([["a"], ["b"], [], ["a"]], {"model": "any"}, "one class"),
    ],
)
def test_what_cannot_be_checked(labels: Any, options: dict[str, Any], said: str) -> None:
    table = sz.TextTable.from_texts(["w", "x", "y", "z"], labels)
    with pytest.raises(ValueError, match=said):
        sz.suspects(table, **options)


def test_of_other_labels_the_texts_are_looked_at() -> None:
    table = sz.TextTable.from_texts(["a b c", "x y", "a b c"], [["p"], [], ["q"]])
    found = sz.suspects(table)
    assert found.duplicates[["row", "like"]].to_numpy().tolist() == [[2, 0]]
    assert found.unchecked == "labels"
    assert "these are of the kind 'labels'" in str(found)
