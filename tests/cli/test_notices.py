"""What `train` says of a training that could have gone better."""

from __future__ import annotations

import os
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.cli.notices import cut_texts, linear_model, still_falling
from keras_seqzoo.quiet import _without_notices
from keras_seqzoo.tasks import task_for

TABLE = sz.TextTable.from_texts(
    ["lovely warm soup", "rude slow waiter"] * 4, ["positive", "negative"] * 4
)


def scored(table: sz.TextTable, answers: Any) -> sz.Report:
    return sz.Report.from_predictions(table.labels, np.eye(2)[answers], table.classes)


def read_by(words: int) -> Any:
    from keras_seqzoo.preprocessing.words import WordPreprocessor

    return SimpleNamespace(preprocessor=WordPreprocessor(words, ["soup"]))


def test_texts_that_are_cut_are_counted() -> None:
    told = cut_texts(read_by(2), TABLE)
    assert told is not None
    assert told.startswith("8 of 8 training texts are longer than the 2 tokens")
    assert "--sequence-length" in told
    assert cut_texts(read_by(3), TABLE) is None


def test_of_a_large_table_some_texts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keras_seqzoo.cli.notices._COUNTED", 5)
    told = cut_texts(read_by(2), TABLE)
    assert told is not None
    assert told.startswith("5 of 5 training texts, taken at random, are longer")


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([0.7, 0.5, 0.4], "from 0.5000 to 0.4000. More epochs may do better: --epochs 6"),
        ([0.7, 0.4, 0.5], None),
        ([0.7, 0.5, 0.499], None),
        ([0.7], None),
        ([], None),
    ],
)
def test_a_loss_that_still_falls_is_told(losses: list[float], told: str | None) -> None:
    said = still_falling({"val_loss": losses}, 3)
    assert (said is None) if told is None else told in str(said)


def test_a_linear_model_that_does_better_is_told() -> None:
    told = linear_model(TABLE, TABLE, TABLE, scored(TABLE, 1 - TABLE.labels))
    assert told is not None
    assert "TF-IDF with logistic regression" in told
    assert "accuracy 1.0000  macro_f1 1.0000" in told
    assert "does better on these test rows" in told
    assert "better" not in str(linear_model(TABLE, TABLE, TABLE, scored(TABLE, TABLE.labels)))


def test_of_numbers_less_error_is_better() -> None:
    table = sz.TextTable.from_texts(TABLE.texts.tolist(), [1.5, 4.5] * 4, target="number")
    report = sz.Report.from_predictions(table.labels, table.labels + 9, task_for(table))
    told = linear_model(table, table, table, report)
    assert told is not None
    assert re.search(r"TF-IDF with ridge regression, fitted on the same rows: mae 0\.\d{4}  ", told)
    assert "does better on these test rows" in told
    exact = sz.Report.from_predictions(table.labels, table.labels, task_for(table))
    assert "better" not in str(linear_model(table, table, table, exact))


def test_no_linear_model_is_fitted_where_there_is_none() -> None:
    wordless = sz.TextTable.from_texts(["!", "?"] * 4, ["a", "b"] * 4)
    report = scored(wordless, wordless.labels)
    assert linear_model(wordless, wordless, wordless, report) is None
    one_class = TABLE.take(np.flatnonzero(TABLE.labels == 1))
    assert linear_model(one_class, TABLE, TABLE, scored(TABLE, TABLE.labels)) is None


def test_only_tensorflow_s_notices_are_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        with _without_notices():
            os.write(
                2,
                b"I0000 1 2 port.cc:153] oneDNN\nE0000 1 2 chttp2_transport.cc:9] lost\n",
            )
            raise ImportError

    with pytest.raises(ImportError):
        fail()
    assert capfd.readouterr().err == "E0000 1 2 chttp2_transport.cc:9] lost\n"
