"""Tagged pieces of texts: the layouts that are read, and what is refused."""

from __future__ import annotations

import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import keras_seqzoo as sz
from keras_seqzoo.data.targets import target_from_dict

TEXT = "Ann Lee saw Rome ."
WORDS = TEXT.split()
SPANS = [(0, 7, "person"), (12, 16, "place")]


def spans(table: Any) -> Any:
    return table.target.spans(table.labels)


def conll(tags: str, words: str = TEXT) -> str:
    return "".join(f"{w}\t{t}\n" for w, t in zip(words.split(), tags.split(), strict=True))


@pytest.mark.parametrize(
    "tags",
    [
        "B-person I-person O B-place O",
        "B-person E-person O S-place O",
        "B-person L-person O U-place O",
        "I-person I-person O I-place O",
        "person person O place O",
    ],
    ids=["BIO", "BIOES", "BILOU", "IO", "types"],
)
def test_schemes_are_told_apart(tags: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(f"-DOCSTART- O\n\n{conll(tags)}\t\n\n\n# sent_id = 2\n{conll('O', 'Yes')}")
    table = sz.read_table(path)
    assert list(table.texts) == [TEXT, "Yes"]
    assert spans(table) == [SPANS, []]
    assert table.class_counts == {"person": 1, "place": 1}
    again = sz.TextTable.from_texts([WORDS, ["Yes"]], [tags.split(), ["O"]], target="tags")
    assert spans(again) == spans(table)


def test_touching_spans_stay_two_where_the_scheme_tells(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(
        "a X B-p\nb X B-p\nc X I-p\n\nd X O\ne X I-p\nf X B-p\n".replace("B-p\nb", "I-p\nb")
    )
    # The older BIO: B- stands only where a span touches one of its type.
    assert spans(sz.read_table(path, target="tags")) == [
        [(0, 1, "p"), (2, 5, "p")],
        [(2, 3, "p"), (4, 5, "p")],
    ]


def test_columns_by_position(tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text("1 Ann B-person x\n2 ran O y\n")
    table = sz.read_table(path, text=1, label=2)
    assert (table.texts[0], spans(table)) == ("Ann ran", [[(0, 3, "person")]])


def objects(rows: Any, folder: Path, lines: bool) -> Path:
    path = folder / ("a.jsonl" if lines else "a.json")
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    return path


STUDIO = [{"type": "labels", "value": {"start": s, "end": e, "text": TEXT[s:e], "labels": [k]}}
          for s, e, k in SPANS]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        {"text": TEXT, "label": SPANS},
        {"text": TEXT, "labels": SPANS},
        {"text": TEXT, "entities": [{"start": s, "end": e, "label": k} for s, e, k in SPANS]},
        {"text": TEXT, "spans": [{"start": s, "end": e, "label": k} for s, e, k in SPANS[::-1]]},
        [TEXT, {"entities": SPANS}],
        {"data": {"text": TEXT}, "annotations": [{"result": [*STUDIO, {"type": "choices"}]}]},
        {"text": TEXT, "label": [one["value"] for one in STUDIO]},
        {"tokens": WORDS, "ner_tags": ["B-person", "I-person", "O", "B-place", "O"]},
    ],
    ids=[
        "own",
        "doccano",
        "dicts",
        "prodigy",
        "spacy",
        "label-studio",
        "label-studio-min",
        "lists",
    ],
)
@pytest.mark.parametrize("lines", [True, False])
def test_layouts_of_json(row: Any, lines: bool, tmp_path: Path) -> None:
    table = sz.read_table(objects([row, row], tmp_path, lines), target="tags")
    assert list(table.texts) == [TEXT, TEXT]
    assert spans(table) == [SPANS, SPANS]


def test_frames_and_lists_in_csv(tmp_path: Path) -> None:
    frame = pd.DataFrame({"w": [WORDS], "t": [["B-person", "I-person", "O", "B-place", "O"]]})
    assert spans(sz.read_table(frame, "w", "t", target="tags")) == [SPANS]
    frame.map(json.dumps).to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        assert spans(sz.read_table(tmp_path / name, "w", "t", target="tags")) == [SPANS]


def test_spaces_at_the_ends_of_a_span_are_left_out() -> None:
    table = sz.TextTable.from_texts(["in Rome now"], [[(2, 8, "place")]], target="tags")
    assert spans(table) == [[(3, 7, "place")]]


def test_spans_within_words_are_told() -> None:
    """Models tag whole words; Chinese and Japanese characters are words each."""
    texts = ["Romeo", "in Rome2, é", "王東京", "Zoe\u0301 x"]
    with pytest.warns(
        UserWarning, match=r"2 spans of texts: .*within a word.*row 1: 'Rome'; row 2"
    ):
        table = sz.TextTable.from_texts(
            texts, [[(0, 4, "x")], [(5, 8, "x")], [(1, 2, "x")], [(0, 4, "x")]], target="tags"
        )
    assert spans(table)[0] == [(0, 4, "x")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sz.TextTable.from_texts(texts[2:], [[(1, 3, "x")], [(0, 4, "x")]], target="tags")


def test_label_studio_counts_as_javascript_does(tmp_path: Path) -> None:
    text = "😀 Rome"
    value = {"start": 3, "end": 7, "text": "Rome", "labels": ["place"]}
    path = objects([{"text": text, "label": [value]}], tmp_path, False)
    assert spans(sz.read_table(path, target="tags")) == [[(2, 6, "place")]]
    value["text"] = "Paris"
    with pytest.raises(ValueError, match=r"must match its start and end.*'Paris'"):
        sz.read_table(objects([{"text": text, "label": [value]}], tmp_path, False), target="tags")


@pytest.mark.parametrize(
    ("text", "found", "message"),
    [
        ("abc", [(2, 2, "x")], r"must end after its start.*\(2, 2, 'x'\).*row 1"),
        ("abc", [(2, 1, "x")], "must end after its start"),
        ("abc", [(0, 4, "x")], "must lie within its text.*3 characters"),
        ("abc", [(-1, 2, "x")], "must lie within its text"),
        ("a  c", [(1, 3, "x")], "more than spaces"),
        ("abc", [(0, 2, "x"), (1, 3, "y")], "must not overlap"),
        ("cafe\u0301 x", [(0, 4, "x")], "between a letter and its accent"),
        ("cafe\u0301 x", [(4, 7, "x")], "between a letter and its accent"),
        ("👩\u200d👧 x", [(0, 1, "x")], "the parts of an emoji"),
        ("abc", [(0, 2)], r"A span is \(start, end, type\)"),
        ("abc", [(0, True, "x")], r"A span is \(start, end, type\)"),
        ("abc", [(0, 2, "")], r"A span is \(start, end, type\)"),
        ("abc", "B-x", "Spans are a list"),
        ("abc", ["B-x"], "Tags go with words"),
        (["a", "b"], ["B-x"], "Every word must have one tag.*2 words, 1 tags"),
        (["a", ""], ["B-x", "O"], "Words are strings, none of them empty"),
        (["a", "b"], ["O", "I-x"], None),
        (["a", "b"], ["B-x", "I-y"], "I-y after B-x"),
        (["a", "b"], ["B-x", "E-y"], "E-y after B-x"),
        (["a", "b"], ["S-x", "B-x"], "O after B-x"),
        (["a", "b"], ["B-", "O"], "BIO, BIOES, IO.*'B-'"),
        (["a", "b"], ["B-x", "Z-x"], "BIO, BIOES, IO.*'Z-x'"),
        (["a", "b"], ["B-x", "person"], "BIO, BIOES, IO.*'person'"),
        (["a", "b"], [1, 0], "Tags are names"),
    ],
)
def test_what_is_none_of_the_text_is_refused(text: Any, found: Any, message: str | None) -> None:
    def read() -> Any:
        return sz.TextTable.from_texts([text], [found], target="tags")

    if message is None:
        assert spans(read()) == [[(2, 3, "x")]]
        return
    with pytest.raises(ValueError, match=message):
        read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Ann\tB-p\nLee\tI-q\n", r"I-q after B-p, line 2 of"),
        ("a\tS-p\n\nAnn\tB-p\n", r"O after B-p at the end of the sentence, line 3"),
        ("Ann\tB-p\n\nLee\tX-p\n", r"'X-p', line 3"),
        ("Ann\tB-p\nLee\n", r"a word and its tag.*line 2: 'Lee'"),
        ("Ann\tB-p\n\tO\n", r"a word and its tag.*line 2"),
        ("Ann\tO\n", "Some rows must have a tagged piece"),
        ("text,label\ngood,pos\n", "a word and its tag"),
    ],
)
def test_faults_of_files_are_told_by_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.conll"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        sz.read_table(path)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\ngood,pos\nbad,neg\n")
    with pytest.raises(ValueError, match="Spans are a list of"):
        sz.read_table(path, target="tags")
    path = objects([{"text": "good"}], tmp_path, True)
    with pytest.raises(ValueError, match="Every row must have a text and a label"):
        sz.read_table(path, target="tags")
    (tmp_path / "b.jsonl").write_text("good\n")
    with pytest.raises(ValueError, match=r"one JSON object.*line 1"):
        sz.read_table(tmp_path / "b.jsonl", target="tags")
    (tmp_path / "c.conll").write_text("a\tB-x\n")
    with pytest.raises(ValueError, match=r"positions from 0"):
        sz.read_table(tmp_path / "c.conll", text="word")
    for read in (partial(sz.read_table, stream=True), sz.stream_table):
        with pytest.raises(ValueError, match=r"memory, by read_table\. Leave `stream` out"):
            read(tmp_path / "c.conll")
    path = objects([{"text": TEXT, "label": SPANS}], tmp_path, True)
    with pytest.raises(ValueError, match="read with target='tags'"):
        sz.read_table(path)


def test_another_file_has_the_same_types() -> None:
    train = sz.TextTable.from_texts([TEXT], [SPANS], target="tags")
    other = sz.TextTable.from_texts(["Bonn"], [[(0, 4, "place")]], target=train.target)
    assert other.target == train.target
    assert spans(other) == [[(0, 4, "place")]]
    assert spans(sz.TextTable.from_texts(["none"], [[]], target=train.target)) == [[]]
    with pytest.raises(ValueError, match=r"one of the known types.*'thing'"):
        sz.TextTable.from_texts(["Bonn"], [[(0, 4, "thing")]], target=train.target)


def test_encoded_answers_and_splits() -> None:
    texts = [f"Rome {i}" if i % 2 else f"no {i}" for i in range(40)]
    table = sz.TextTable.from_texts(
        texts, [[(0, 4, "place")] if i % 2 else [] for i in range(40)], target="tags"
    )
    assert table.labels.shape == (40, 1, 3)
    assert table.labels.dtype == np.int32
    train, valid, test = table.split(valid=0.25, test=0.25, seed=0)
    assert [t.class_counts["place"] for t in (train, valid, test)] == [10, 5, 5]
    assert target_from_dict(table.target.as_dict()) == table.target
    encoded = table.target.encode([[(0, 4, "place")], []])
    np.testing.assert_array_equal(encoded, [[[0, 4, 0]], [[-1, -1, -1]]])
    np.testing.assert_array_equal(table.target.encode(encoded), encoded)
    assert "'place': 20" in repr(table)
    with pytest.raises(ValueError, match="must have a list of spans"):
        table.target.encode(["place"])


def test_wnut17(shared: Any) -> None:
    table = sz.read_table(shared("data", "wnut17", "emerging.test.annotated"), target="tags")
    assert len(table) == 1287
    assert sum(table.class_counts.values()) == 1079
    assert len({(t, *map(tuple, s)) for t, s in zip(table.texts, spans(table), strict=True)}) > 1200
