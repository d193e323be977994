"""What taggers must beat."""

from __future__ import annotations

from typing import Any

import pytest

import keras_seqzoo as sz
from keras_seqzoo.comparison.baselines import BASELINES

TEXTS = ["Ann Lee saw Rome.", "Rome saw Ann.", "New York, New Jersey", "no"]
SPANS = [
    [(0, 7, "person"), (12, 16, "place")],
    [(0, 4, "place"), (9, 12, "person")],
    [(0, 8, "place"), (10, 20, "place")],
    [],
]


@pytest.fixture
def table() -> Any:
    return sz.TextTable.from_texts(TEXTS, SPANS, target="tags")


@pytest.mark.parametrize("name", ["dictionary", "linear_crf"])
def test_finds_what_it_was_shown(name: str, table: Any) -> None:
    if name == "linear_crf":
        pytest.importorskip("pycrfsuite", reason="python-crfsuite is not installed")
    baseline = BASELINES[name]()
    baseline.fit(table)
    report = sz.evaluate(baseline, table)
    assert report.f1 == 1
    for text, pieces in zip(TEXTS, baseline.predict(TEXTS), strict=True):
        for piece in pieces:
            assert text[piece["start"] : piece["end"]] == piece["text"]
            assert 0 < piece["probability"] <= 1
    assert baseline.count_params() > 4
    assert baseline.size_mb() > 0


def test_the_longest_piece_is_taken(table: Any) -> None:
    baseline = BASELINES["dictionary"]()
    baseline.fit(table)
    [pieces] = baseline.predict(["Ann Lee, Ann and ann; New"])
    assert [(p["text"], p["label"]) for p in pieces] == [("Ann Lee", "person"), ("Ann", "person")]


def test_without_its_library_there_is_no_crf(table: Any, monkeypatch: Any) -> None:
    from keras_seqzoo.tasks import task_for

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert task_for(table).baselines_for(table.inputs) == ("dictionary",)
