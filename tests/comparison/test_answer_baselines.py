"""Silence, and the sentence with the words of the question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import keras_seqzoo as sz
from keras_seqzoo.comparison.baselines import BASELINES

CONTEXT = "The soup was hot.  Was it? The waiter was rude! And\nthe fish"


def rows(count: int) -> Any:
    asked = [("how is the soup ?", "The soup was hot."), ("how is the bread ?", ""),
             ("who was rude ?", "The waiter was rude!"), ("Łukasz ?", "")]  # fmt: skip
    asked = (asked * count)[:count]
    pairs = ([question for question, _ in asked], [f"{CONTEXT} {i}" for i in range(count)])
    return sz.TextTable.from_texts(pairs, [answer for _, answer in asked], target="answer")


def test_the_sentence_with_the_words_of_the_question() -> None:
    baseline: Any = BASELINES["shared_words"]()
    train = rows(8)
    baseline.fit(train, train)
    answers = baseline.predict(train.texts)
    assert [said["answer"] for said in answers[:4]] == [
        "The soup was hot.",
        "",
        "The waiter was rude!",
        "",
    ]
    for (_, context), said in zip(train.texts, answers, strict=True):
        assert said["answer"] == (context[said["start"] : said["end"]] if said["answer"] else "")
        assert 0 <= said["probability"] <= 1
    assert sz.evaluate(baseline, train).f1 == 1
    assert baseline.count_params() > 5
    assert baseline.size_mb() > 0


@pytest.mark.parametrize("name", ["no_answer", "shared_words"])
def test_anything_is_answered(name: str) -> None:
    baseline: Any = BASELINES[name]()
    baseline.fit(rows(4))
    answers = baseline.predict(([""] * 3, ["", " \r\n", "one. two"]))
    assert [said["answer"] for said in answers] == ["", "", ""]
    assert [said["start"] for said in answers] == [-1, -1, -1]
    assert name == "shared_words" or baseline.count_params() == baseline.size_mb() == 0


@pytest.mark.slow
def test_models_are_compared_with_them(tmp_path: Path) -> None:
    train, valid, test = rows(40).split(valid=0.2, test=0.2, seed=0)
    small = {"model": "gru", "units": 4, "embedding_dim": 4}
    compared = sz.compare([small], train, valid, test, seeds=1, epochs=1, folder=tmp_path / "c")
    assert {"gru", "no_answer", "shared_words"} == set(compared.table.index)
    assert compared.table.loc["shared_words", "f1"] == 1
    assert compared.table.loc["no_answer", "unanswered"] == 1
    page = compared.to_html(tmp_path / "page.html").read_text("utf-8")
    assert "With and without an answer" in page
