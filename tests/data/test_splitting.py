"""TextTable.split: sizes, strata, seeds, texts in two parts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from keras_seqzoo.data.table import TextTable


@pytest.fixture
def balanced() -> TextTable:
    return TextTable.from_texts([f"text {i}" for i in range(100)], ["a", "b", "b", "b"] * 25)


class TestSplit:
    def test_stratified(self, balanced):
        parts = balanced.split(valid=0.2, test=0.12, seed=1)
        assert [len(part) for part in parts] == [68, 20, 12]
        assert [part.class_counts["a"] for part in parts] == [17, 5, 3]
        assert sorted(text for part in parts for text in part.texts) == sorted(balanced.texts)
        label_of = dict(zip(balanced.texts, balanced.labels, strict=True))
        for part in parts:
            assert [label_of[text] for text in part.texts] == part.labels.tolist()
            assert part.classes == balanced.classes

    def test_seed(self, balanced):
        first, again, other = (balanced.split(seed=seed)[0].texts.tolist() for seed in (0, 0, 1))
        assert first == again != other

    @pytest.mark.parametrize(
        ("valid", "test", "sizes"),
        [
            (0, 0, [100, 0, 0]),
            (0.0, 10, [90, 0, 10]),
            (10, 0.0, [90, 10, 0]),
            (np.int64(5), 0.25, [70, 5, 25]),
        ],
    )
    def test_sizes(self, balanced, valid, test, sizes):
        parts = balanced.split(valid, test)
        assert [len(part) for part in parts] == sizes
        assert all(part.texts.shape == part.labels.shape == (len(part),) for part in parts)

    @pytest.mark.parametrize("size", [-0.1, 1.0, -1, True, "0.1", None, float("nan")])
    def test_bad_size(self, balanced, size):
        with pytest.raises(ValueError, match="Received: valid="):
            balanced.split(valid=size)
        with pytest.raises(ValueError, match="Received: test="):
            balanced.split(test=size)

    @pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (0.6, 0.6), (50, 50), (200, 0)])
    def test_nothing_left_to_train_on(self, balanced, valid, test):
        with pytest.raises(ValueError, match=r"leave rows to train on.*100 rows"):
            balanced.split(valid, test)

    @pytest.mark.parametrize("seed", [-1, 2**32, 1.0, None, True])
    def test_bad_seed(self, balanced, seed):
        with pytest.raises(ValueError, match="seed must be"):
            balanced.split(seed=seed)

    def test_small_class(self):
        table = TextTable.from_texts(
            [str(i) for i in range(42)], ["a"] * 20 + ["b"] * 20 + ["c"] * 2
        )
        with pytest.raises(ValueError, match=r"each of the 3 parts.*'c \(2\)'"):
            table.split(valid=10, test=10)
        assert len(table.split(valid=0, test=10)[2]) == 10

    def test_fewer_rows_than_classes(self, balanced):
        with pytest.raises(ValueError, match=r"as many rows as there are classes.*98, 1, 1 rows"):
            balanced.split(valid=1, test=1)

    def test_test_rows_use_up_a_class(self):
        table = TextTable.from_texts(list("abcdefghijkl"), list("xxxyyyyyyyyy"))
        with pytest.raises(ValueError, match=r"two rows of each class.*one row left of"):
            table.split(valid=2, test=8)

    def test_without_labels(self):
        parts = TextTable.from_texts([str(i) for i in range(10)]).split()
        assert [len(part) for part in parts] == [8, 1, 1]

    def test_same_text_in_two_parts(self, balanced):
        texts = ["Same text", "same text "] * 50
        with pytest.warns(
            UserWarning, match="1 texts of texts are in more than one.*drop_dup"
        ) as caught:
            TextTable.from_texts(texts, balanced.labels).split()
        assert (len(caught), caught[0].filename) == (1, __file__)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            balanced.split()
            TextTable.from_texts(texts, balanced.labels).split(0, 0)
