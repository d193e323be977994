"""The page of a model that answers: with and without an answer, and contexts with what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import keras_seqzoo as sz
from keras_seqzoo.comparison.store import ModelRecord
from keras_seqzoo.data.answers import written
from keras_seqzoo.data.targets import Answers
from keras_seqzoo.evaluation.results import Entry, Results, Run
from keras_seqzoo.pages.page import render
from keras_seqzoo.tasks.answer import Answer

TASK = Answer(Answers())
LONG = "x " * 300 + "Ann lives in Rome" + " y" * 300
PAIRS = [("who ?", "Ann <b> saw Rome"), ("where ?", LONG), ("why ?", "Bob"), ("who ?", "Bob sang")]
TRUE = [[(0, 3, "Ann")], [(613, 617, "Rome"), (610, 617, "in Rome")], [], [(0, 3, "Bob")]]
SAID = [(12, 16), (610, 617), (0, 3), None]


@pytest.fixture
def outputs() -> Any:
    rows = []
    for (_, context), place in zip(PAIRS, SAID, strict=True):
        start, end = place or (-1, -1)
        answer = context[start:end] if place else ""
        rows.append({"answer": answer, "start": start, "end": end, "probability": 0.75,
                     "no_answer": 0.25})  # fmt: skip
    return TASK.as_outputs(rows)


LABELS = TASK.target.encode([written(row) for row in TRUE])


def test_contexts_show_what_is_right_and_wrong(outputs: Any) -> None:
    rows = TASK.worst(LABELS, outputs, 10).tolist()
    assert sorted(rows) == [0, 2, 3]
    entry = Entry("ours", runs=[Run(0, outputs)], mistakes=[(row, None) for row in [*rows, 1]])
    page = render(Results("t", TASK, [[*p] for p in PAIRS], LABELS, [entry]))
    assert "has an F1 of 0.250" in page
    assert "0.333 on 3 questions with an answer, and it leaves 0.0% of 1 without" in page
    assert '<mark class="wrong">Rome</mark>' in page
    assert '<mark class="wrong">Ann</mark> &lt;b&gt; saw' in page
    assert page.count('<mark class="right">in Rome</mark>') == 2
    assert "(or “in Rome”)" in page
    assert page.count('<mark class="wrong">no answer</mark>') == 2  # said once, and true once
    assert "x " * 200 not in page  # of a long context as much as a phone shows
    assert "<b>where ?</b>" in page
    assert "F1 by length" in page


def test_a_report_writes_its_page(outputs: Any, tmp_path: Path) -> None:
    report = sz.Report.from_predictions(LABELS, outputs, TASK, PAIRS)
    assert report.f1 == 0.25
    assert report.to_dict()["confusion"] == [[2, 1], [1, 0]]
    assert np.isnan(TASK.figures(LABELS[:1], outputs[:1])["unanswered"])
    page = report.to_html(tmp_path / "page.html", folder=tmp_path / "data").read_text("utf-8")
    assert "Worst answers" in page
    assert (tmp_path / "data" / "lengths.csv").exists()


def test_only_one_answer_is_told(outputs: Any) -> None:
    report = sz.Report.from_predictions(LABELS[:3], outputs[:3], TASK)
    assert "though some have none" in report.warnings[0]
    silent = [{**said, "answer": "", "start": -1, "end": -1} for said in outputs]
    report = sz.Report.from_predictions(LABELS, silent, TASK)
    assert "has learnt nothing yet" in report.warnings[0]
    assert not sz.Report.from_predictions(LABELS[:1], outputs[:1], TASK).warnings


def test_comparisons_keep_answers(outputs: Any, tmp_path: Path) -> None:
    record = ModelRecord(tmp_path)
    record.write_run(Run(3, outputs, 0.5), 1.0)
    kept = record.run(3, (4,))
    assert kept is not None
    assert kept.outputs.tolist() == outputs.tolist()
