"""The page of a tagger: each type, the commonest mistakes, and texts with what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import keras_seqzoo as sz
from keras_seqzoo.data.targets import Tags
from keras_seqzoo.evaluation.results import Entry, Results, Run
from keras_seqzoo.pages.page import render
from keras_seqzoo.pages.tags import confusions
from keras_seqzoo.tasks.tag import Tag

TASK = Tag(Tags(("person", "place")))
TEXTS = ["Ann <b> saw Rome", "no", "Bob"]
TRUE = [[(0, 3, "person"), (12, 16, "place")], [], [(0, 3, "person")]]
SAID = [[(0, 3, "person"), (8, 16, "place")], [(0, 2, "place")], [(0, 3, "place")]]


def pieces(spans: Any, text: str) -> list[dict[str, Any]]:
    return [
        {"label": k, "text": text[s:e], "start": s, "end": e, "probability": 0.5}
        for s, e, k in spans
    ]


@pytest.fixture
def results() -> Results:
    labels = TASK.target.encode(TRUE)
    outputs = TASK.as_outputs([pieces(s, t) for s, t in zip(SAID, TEXTS, strict=True)])
    rows = TASK.worst(labels, outputs, 10).tolist()
    entry = Entry("ours", runs=[Run(0, outputs)], mistakes=[(row, None) for row in rows])
    return Results("t", TASK, TEXTS, labels, [entry])


def test_texts_show_what_is_right_and_wrong(results: Results) -> None:
    page = render(results)
    assert "finds 33.3% of 3 pieces, and 25.0% of what it says is right" in page
    assert '<mark class="right">Ann <small>person</small></mark> &lt;b&gt; ' in page
    assert '<mark class="wrong">saw Rome <small>place</small></mark>' in page
    assert '<mark class="wrong">Rome <small>place</small></mark>' in page
    assert page.count("<small>truth</small>") == 3
    assert "missed" in page
    assert "added" in page
    assert "F1 of each type" in page


def test_commonest_mistakes(results: Results) -> None:
    assert set(confusions(results.report("ours"))) == {
        ("person", "place", 1),
        ("nothing", "place", 1),
    }


def test_a_report_writes_its_page(tmp_path: Path) -> None:
    labels = TASK.target.encode(TRUE)
    outputs = TASK.as_outputs([pieces(s, t) for s, t in zip(SAID, TEXTS, strict=True)])
    report = sz.Report.from_predictions(labels, outputs, TASK, TEXTS)
    page = report.to_html(tmp_path / "page.html", folder=tmp_path / "data").read_text("utf-8")
    assert "Texts with the most mistakes" in page
    assert (tmp_path / "data" / "types.csv").exists()
