"""Questions about contexts: layouts of files, and answers that are not where they are said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import keras_seqzoo as sz
from keras_seqzoo.data.answers import place, read_written
from keras_seqzoo.evaluation.data_summary import summarise

SUBJQA = Path(__file__).parents[3] / "shared" / "data" / "subjqa_restaurants" / "dev.csv"
CONTEXT = "Ann lives in Rome.\r\nBob lives in Oslo, too."


def asked(**given: Any) -> pd.DataFrame:
    rows = {"question": ["Who ?"], "context": [CONTEXT], "answer": ["Bob"]}
    return pd.DataFrame({**rows, **{k: [v] for k, v in given.items()}})


def answers(table: Any) -> Any:
    return table.target.spans(table.labels)


def squad(*asked: dict[str, Any], context: str = CONTEXT) -> str:
    return json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": [
        {"context": context, "qas": [{"id": "1", **one} for one in asked]}]}]})  # fmt: skip


def test_squad_s_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    twice = [{"text": "Rome", "answer_start": 13}, {"text": "in Rome", "answer_start": 10}]
    path.write_text(
        squad(
            {"question": "Where ?", "answers": [*twice, twice[0]], "is_impossible": False},
            {"question": "Why ?", "answers": [], "is_impossible": True},
            {"question": "Who ?", "answers": [{"text": "Ann", "answer_start": 0}]},
            {"question": "What ?", "answers": twice, "is_impossible": True},
        ),
        "utf-8",
    )
    table = sz.read_table(path, target="answer")
    assert answers(table) == [[(13, 17, "Rome"), (10, 17, "in Rome")], [], [(0, 3, "Ann")], []]
    assert table.texts.tolist()[1] == ["Why ?", CONTEXT]
    assert table.class_counts == {"answer": 2, "no answer": 2}
    assert "answers 'answer': 2" in repr(table)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_columns_of_all_files_are_read(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"q": ["Who ?", "Why ?"], "text": [CONTEXT] * 2, "said": ["Ann", ""], "at": [0, -1]}
    )
    path = tmp_path / f"rows{suffix}"
    if suffix in (".csv", ".tsv"):
        frame.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=suffix == ".jsonl")
    for label in (("said", "at"), "said"):
        table = sz.read_table(path, text=("q", "text"), label=label, target="answer")
        assert answers(table) == [[(0, 3, "Ann")], []]


def test_datasets_rows_and_several_answers_are_read() -> None:
    told = {"text": ["Oslo", "in Oslo"], "answer_start": [33, 30]}
    table = sz.read_table(asked().drop(columns="answer").assign(answers=[told]), target="answer")
    assert answers(table) == [[(33, 37, "Oslo"), (30, 37, "in Oslo")]]
    several = sz.read_table(asked(answer=["Bob", "Ann"], start=[20, 0]), target="answer")
    assert answers(several) == [[(20, 23, "Bob"), (0, 3, "Ann")]]
    labels = [["Bob", {"text": "Ann", "start": 0}]]
    texts = sz.TextTable.from_texts((["Who ?"], [CONTEXT]), labels, target="answer")
    assert answers(texts) == answers(several)


@pytest.mark.parametrize(
    ("answer", "start", "found", "done"),
    [
        ("Rome", 13, (13, 17), ""),
        (" Rome ", 12, (13, 17), ""),
        ("Rome.Bob", 13, (13, 23), "spaces"),  # a line break more in the context
        ("Rome .", 13, (13, 18), "spaces"),
        ("Rome .", None, (13, 18), "spaces"),
        ("Rome", 3, (13, 17), "moved"),
        ("Rome", 999, (13, 17), "moved"),
        ("Rome", None, (13, 17), ""),
        ("o", None, (39, 40), None),  # the words "Rome" and "too" hold it, none is it
        ("lives", 24, (24, 29), ""),
    ],
)
def test_answers_are_found(answer: str, start: Any, found: Any, done: Any) -> None:
    if done is None:
        with pytest.raises(ValueError, match="is there"):
            place(CONTEXT, answer, start)
        return
    placed, said = place(CONTEXT, answer, start)
    assert (placed[:2], said) == (found, done)
    assert placed[2] == CONTEXT[slice(*found)]


def test_whole_words_go_before_parts_of_others() -> None:
    assert place("concatenate a cat", "cat", None)[0][:2] == (14, 17)
    assert place("concatenate", "cat", None)[0][:2] == (3, 6)


def test_answers_that_are_not_there_are_told() -> None:
    told = [("Zoe", 0), ("lives", 1), ("Rome", 2), ("Rome .", 13), ("Ann", 0)]
    rows = pd.concat([asked(answer=answer, start=start) for answer, start in told])
    wrong = r"2 that do not: row 1: 'Zoe' is not there, not at 0; row"
    with pytest.raises(ValueError, match=wrong):
        sz.read_table(rows, target="answer")
    with pytest.warns(UserWarning, match="answers? of DataFrame") as warned:
        table = sz.read_table(rows, target="answer", na="drop")
    said = "\n".join(str(w.message) for w in warned)
    assert "1 answer of DataFrame: not at the given start" in said
    assert "row 3." in said
    assert "white space differs" in said
    assert "2 answers of DataFrame: not found in the context, and left out" in said
    assert "'lives' is there 2 times, not at 1" in said
    # A row without any right answer has none to learn.
    assert table.row_numbers.tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("context", "answer", "start"),
    [
        ("Zoe\u0301 sang", "\u0301 sang", 3),
        ("a 👩\u200d👧 b", "👩", 2),
        ("a 🇩🇪 b", "\U0001f1ea b", 3),
    ],
)
def test_parts_of_characters_are_no_answers(context: str, answer: str, start: int) -> None:
    with pytest.raises(ValueError, match="between characters"):
        sz.read_table(asked(context=context, answer=answer, start=start), target="answer")


@pytest.mark.parametrize("given", [{"question": ""}, {"context": " \n", "answer": ""}])
def test_empty_questions_and_contexts_are_incomplete(given: Any) -> None:
    rows = pd.concat([asked(), asked(**given)])
    with pytest.raises(ValueError, match="both texts of a pair"):
        sz.read_table(rows, target="answer")
    assert len(sz.read_table(rows, target="answer", na="drop")) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"data": [{"text": "a"}]}', "SQuAD's file is"),
        ('{"data": 3}', "SQuAD's file is"),
        ('{"version": 1}', "SQuAD's file is.*text column must be in the table"),
        ("[1, 2]", "SQuAD's file is"),
        ('[["a", "b"]]', "SQuAD's file is"),
        ("no json", "SQuAD's file is.*json', line 1: Expecting"),
        ('{"question": "q", "context": "c", "answer": 3}', "An answer must be a text.*row 1"),
        ('{"question": "q", "context": "c", "answer": "c", "start": "x"}', "whole number"),
        ('{"question": "q", "context": "c", "answer": ["c"], "start": [0, 1]}', "one start"),
    ],
)
def test_other_layouts_are_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(content, "utf-8")
    with pytest.raises(ValueError, match=f"(?s){said}"):
        sz.read_table(path, target="answer")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text": "question"}, "asked about a context"),
        ({"label": ("answer", "start", "x")}, "must be in two columns"),
        ({"label": "reply"}, "label column must be in the table"),
        ({"stream": True}, "read into memory"),
    ],
)
def test_unsuitable_columns_are_refused(given: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sz.read_table(asked(start=20), target="answer", **given)


def test_a_table_of_another_task_is_refused() -> None:
    other = pd.DataFrame({"text": ["fine"], "label": ["pos"]})
    with pytest.raises(ValueError, match="A question is asked about a context"):
        sz.read_table(other, target="answer")


def test_texts_without_contexts_are_refused() -> None:
    with pytest.raises(ValueError, match="Pass \\(questions, contexts\\)"):
        sz.TextTable.from_texts(["Who ?"], ["Bob"], target="answer")
    with pytest.raises(ValueError, match="needs its answer"):
        sz.TextTable.from_texts((["Who ?"], [CONTEXT]), [], target="answer")


def test_tables_are_split_and_told_apart() -> None:
    rows = [(f"who is {i} ?", f"Bob is {i}", "Bob" if i % 3 else "") for i in range(30)]
    frame = pd.DataFrame(rows, columns=["question", "context", "answer"])
    table = sz.read_table(frame, target="answer")
    train, valid, test = table.split(valid=0.2, test=0.2, seed=0)
    assert [t.class_counts["no answer"] for t in (train, valid, test)] == [6, 2, 2]
    assert table.fingerprint() != table.take(range(29)).fingerprint()
    again = sz.read_table(pd.concat([frame, frame]), target=train.target)
    assert len(again.drop_duplicates()) == 30
    assert summarise(train, valid, test).parts["conflicts"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "label", ["", "Bob", "[[1]]", '[[3, 1, "a"]]', "{}", "3", '[["a", 1, "b"]]']
)
def test_labels_are_told_with_their_places(label: str) -> None:
    with pytest.raises(ValueError, match="have their positions"):
        read_written(label)


@pytest.mark.skipif(not SUBJQA.exists(), reason="SubjQA is with the developers")
def test_subjqa_s_positions_are_found_out() -> None:
    frame = pd.read_csv(SUBJQA, keep_default_na=False)
    frame["answer"] = frame["human_ans_spans"].replace("ANSWERNOTFOUND", "")
    frame["start"] = frame["human_ans_indices"].str.extract(r"(\d+)").astype(int)
    columns = {"text": ("question", "review"), "target": "answer"}
    with pytest.raises(ValueError, match="10 that do not"):
        sz.read_table(frame, **columns)
    with pytest.warns(
        UserWarning, match="21 answers .* white space differs|10 answers .* left out"
    ):
        table = sz.read_table(frame, **columns, na="drop")
    assert table.class_counts == {"answer": 126, "no answer": 149}
    for (_, context), found in zip(table.texts, answers(table), strict=True):
        assert all(context[start:end] == text for start, end, text in found)
    assert np.array_equal(table.target.encode(table.labels), table.labels)
