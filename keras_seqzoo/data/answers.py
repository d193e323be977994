"""Questions about contexts, and the positions of their answers: read from files and frames.

An answer is `(start, end, text)`: the position of its first character, the position after its last,
and its text. A question may have several right answers, or none.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import is_list_like

from keras_seqzoo.checks import warn
from keras_seqzoo.data.encoding import choose_encoding
from keras_seqzoo.data.inputs import INPUTS, text_columns
from keras_seqzoo.data.reading import file_format, pick_column, shorten
from keras_seqzoo.data.sources import find_files
from keras_seqzoo.data.tags import checked_spans

Placed = tuple[int, int, str]

TEXTS = ("question", "context")
_ANSWERS, _STARTS = ("answer", "answers"), ("start", "answer_start")
_SHOWN = 5
_LAYOUT = (
    'SQuAD\'s file is {"data": [{"paragraphs": [{"context": …, "qas": [{"question": …, "answers": '
    '[{"text": …, "answer_start": …}]}]}]}]}; other JSON is rows with a question, a context and an '
    "answer, as lines or as an array."
)


class Row(NamedTuple):
    """A question as it was written.

    Attributes:
        where: its place in the source, such as `"row 3"`.
        question: the question.
        context: the text that the question is about.
        answers: the text of each answer and its start, which is None if the source has none.
    """

    where: str
    question: Any
    context: Any
    answers: list[tuple[Any, Any]]


def read_answers(
    source: Any, text: Any, label: Any, encoding: str | None, drop: bool, options: Mapping[str, Any]
) -> pd.DataFrame:
    """Reads questions, contexts and answers.

    Args:
        source: a path, a pattern or a DataFrame. A `.json` file is SQuAD's (1.1 or 2.0), or rows
            as lines or as an array, like `.jsonl`; any other file has columns.
        text: the two columns of questions and contexts; `question` and `context` by default.
        label: the column of the answers, or that and the column of their starts; by default
            `answer` or `answers`, and `start` or `answer_start` if there is one. An answer is a
            text, empty if the context has none; or a list of texts, each of them right, with a list
            of starts; or one or several `{"text": …, "answer_start": …}`, as in SQuAD.
        encoding: codec of a text file.
        drop: whether to leave out answers that are not found, and rows without a question or a
            context; otherwise they are errors.
        options: options of `pandas.read_csv`, such as `sep`.

    Returns:
        A frame of `text`, `text_pair` and `label`; `label` is in the form that `written` writes.

    Raises:
        ValueError: another layout, a missing column, or an answer that is not found.

    Warns:
        UserWarning: answers were found at another place than their start, or were left out.
    """
    if isinstance(source, pd.DataFrame):
        return _frame_of(_rows_of(source, text, label, "DataFrame"), "DataFrame", drop)
    files, _ = find_files(source)
    rows = (row for file in files for row in _rows(file, text, label, encoding, options))
    return _frame_of(rows, str(source), drop)


def answer_frame(texts: Any, labels: Any) -> pd.DataFrame:
    """Does the same as `read_answers`, for pairs of a question and a context, and their answers."""
    columns = text_columns(texts)
    if tuple(columns) != INPUTS["pair"].columns:
        raise ValueError(
            "A question is asked about a context. Pass (questions, contexts). Received: one text "
            "a row"
        )
    sides, labels = [list(side) for side in columns.values()], list(labels)
    if len(sides[0]) != len(labels):
        raise ValueError(
            "Every question needs its answer, '' for none. Check how they were made. "
            f"Received: {len(sides[0]):,} questions, {len(labels):,} answers"
        )
    rows = (
        Row(f"row {number:,}", question, context, _answers_of(answer, None))
        for number, (question, context, answer) in enumerate(zip(*sides, labels, strict=True), 1)
    )
    return _frame_of(rows, "texts", False)


def written(answers: Sequence[Placed]) -> str:
    """Returns the answers of a row as text: `'[[3, 8, "seven"]]'`, and `'[]'` for none."""
    return json.dumps(answers)


def read_written(label: str | bytes) -> list[Placed]:
    """Reads the text that `written` wrote.

    Raises:
        ValueError: any other text.
    """
    try:
        read = json.loads(label)
        found = [(start, end, text) for start, end, text in read]
        if isinstance(read, list) and all(
            type(start) is type(end) is int and 0 <= start < end and isinstance(text, str)
            for start, end, text in found
        ):
            return found
    except (TypeError, ValueError):
        pass
    raise ValueError(
        "Answers must have their positions in the context. Pass the labels of a table: "
        "TextTable.from_texts("
        f"(questions, contexts), answers, target='answer').labels. Received: {label!r:.80}"
    )


def place(context: str, answer: str, start: int | None) -> tuple[Placed, str]:
    """Finds an answer in its context.

    The given start counts if the answer is there; otherwise the answer must occur exactly once. If
    it differs from the context only in white space, the context's spelling is used.

    Args:
        context: the text.
        answer: the answer, not empty.
        start: the position of its first character according to the source.

    Returns:
        The answer without the spaces at its ends, and what was changed: `""`, `"moved"` or
        `"spaces"`.

    Raises:
        ValueError: it is not in the context, or occurs several times, or splits a character.
    """
    if start is not None and context.startswith(answer, start):
        (begin, end), done = (start, start + len(answer)), ""
    else:
        (begin, end), done = _searched(context, answer.strip(), start)
    [(begin, end, _)] = checked_spans(context, [(begin, end, "answer")])
    return (begin, end, context[begin:end]), done


def _searched(context: str, answer: str, start: int | None) -> tuple[tuple[int, int], str]:
    # Two words may have become one, or one may have become two, as in "service !".
    loose = re.compile(r"\s*".join(re.escape(sign) for sign in answer if not sign.isspace()))
    if start is not None:
        inside = context[start:]
        first = loose.match(context, start + len(inside) - len(inside.lstrip()))
        if first is not None:
            return first.span(), "" if first[0] == answer else "spaces"
    exact = re.finditer(f"(?=({re.escape(answer)}))", context)
    spans = _whole_words(context, [match.span(1) for match in exact])
    done = "" if start is None else "moved"
    if not spans:
        spans = _whole_words(context, [match.span() for match in loose.finditer(context)])
        done = done or "spaces"
    if len(spans) != 1:
        often = f"is there {len(spans)} times" if spans else "is not there"
        raise ValueError(f"{shorten([answer])} {often}" + (start is not None) * f", not at {start}")
    return spans[0], done


def _whole_words(context: str, spans: Sequence[tuple[int, int]]) -> Sequence[tuple[int, int]]:
    """Returns the spans that do not start or end within a word; all of them if each one does."""

    def parts(at: int) -> bool:
        return context[max(at - 1, 0) : at + 1].isalnum() and 0 < at < len(context)

    return [span for span in spans if not any(map(parts, span))] or spans


def _frame_of(rows: Iterable[Row], source: str, drop: bool) -> pd.DataFrame:
    columns: dict[str, list[Any]] = {"text": [], "text_pair": [], "label": []}
    trouble: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        asked = [None if _is_empty(text) else text for text in (row.question, row.context)]
        label: str | None = None
        if all(isinstance(text, str) for text in asked):
            found = list(_placed(row, trouble))
            # A question with only wrong answers is not a question without an answer.
            label = written([*dict.fromkeys(found)]) if found or not row.answers else None
        elif None not in asked:
            label = "[]"  # the table reports what is wrong with such a text
        for name, value in zip(columns, [*asked, label], strict=True):
            columns[name].append(value)
    _tell(trouble, source, drop)
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def _placed(row: Row, trouble: Mapping[str, list[str]]) -> Iterator[Placed]:
    for answer, start in row.answers:
        try:
            found, done = place(row.context, answer, start)
        except ValueError as error:
            trouble["wrong"].append(f"{row.where}: {error}")
            continue
        if done:
            trouble[done].append(row.where)
        yield found


def _tell(trouble: Mapping[str, list[str]], source: str, drop: bool) -> None:
    def some(rows: Sequence[str]) -> str:
        return "; ".join(rows[:_SHOWN]) + ("; …" if len(rows) > _SHOWN else "")

    def several(rows: Sequence[str]) -> str:
        return f"{len(rows):,} answer{'s' * (len(rows) > 1)} of {source}"

    wrong = trouble.get("wrong", [])
    if wrong and not drop:
        raise ValueError(
            "An answer must be in its context, once or at its `start`. Correct the rows, or "
            f"pass na='drop' to leave such answers out. Received: {source!r}, {len(wrong):,} that "
            f"do not: {some(wrong)}"
        )
    if spaces := trouble.get("spaces"):
        warn(
            f"{several(spaces)}: the white space differs from that of the context, which is used "
            f"instead: {some(spaces)}."
        )
    if moved := trouble.get("moved"):
        warn(
            f"{several(moved)}: not at the given start; the only place in the context that has it "
            f"is used instead: {some(moved)}."
        )
    if wrong:
        warn(f"{several(wrong)}: not found in the context, and left out: {some(wrong)}.")


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and bool(np.isnan(value)))


def _answers_of(answers: Any, starts: Any) -> list[tuple[Any, Any]]:
    """The answers of a row, each with its start.

    Raises:
        ValueError: a form that `read_answers` does not take.
    """
    if isinstance(answers, Mapping):
        texts = answers.get("text", answers.get("answer"))
        begins = next((answers[name] for name in _STARTS if name in answers), None)
        return [] if texts is None else _answers_of(texts, begins)
    if _is_list(answers):
        several = list(answers)
        begins = list(starts) if _is_list(starts) else [starts] * len(several)
        if len(begins) != len(several):
            raise ValueError(
                "Every answer has one start. Complete them, or leave all starts out. "
                f"Received: answers {shorten(several, 3)}, starts {shorten(begins, 3)}"
            )
        return [
            one
            for answer, begin in zip(several, begins, strict=True)
            for one in _answers_of(answer, begin)
        ]
    if _is_empty(answers):
        return []
    if not isinstance(answers, str):
        raise ValueError(
            "An answer must be a text, or a list of correct texts. Write it in this form. "
            f"Received: {answers!r:.60}"
        )
    return [(answers, _start(starts))]


def _start(value: Any) -> int | None:
    """Returns a start as a number; None for a missing one, and for -1, which some files use."""
    if _is_empty(value):
        return None
    try:
        number = float(value)
        if number != int(number):
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            "The start of an answer must be a whole number: its first character, counted from 0. "
            "Correct "
            f"it, or leave the starts out. Received: {value!r:.60}"
        ) from None
    return int(number) if number >= 0 else None


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | bytes | Mapping) and is_list_like(value)


def _rows(
    path: Path, text: Any, label: Any, encoding: str | None, options: Mapping[str, Any]
) -> Iterator[Row]:
    """Yields the rows of a file."""
    kind = file_format(path)
    if kind == "parquet":
        return _rows_of(pd.read_parquet(path, **options), text, label, str(path))
    codec = choose_encoding(path, encoding, options if kind == "csv" else {})
    if kind == "json":
        return _json_rows(path, codec, text, label)
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    settings = {"sep": separator, "keep_default_na": False, "dtype": "str", **options}
    return _rows_of(pd.read_csv(path, encoding=codec, **settings), text, label, str(path))


def _rows_of(frame: pd.DataFrame, text: Any, label: Any, where: str) -> Iterator[Row]:
    names = _columns(list(frame.columns), text, label, where)
    columns = [frame[name].tolist() for name in names]
    for number, (question, context, answers, *starts) in enumerate(zip(*columns, strict=True), 1):
        told = f"row {number:,}"
        try:
            yield Row(told, question, context, _answers_of(answers, *(starts or [None])))
        except ValueError as error:
            raise ValueError(f"{error} in {told} of {where!r}") from error


def _columns(columns: Sequence[Any], text: Any, label: Any, where: str) -> list[Any]:
    """Finds the columns of questions, contexts and answers, and of starts if there is one."""
    asked = TEXTS if text == "text" and "text" not in columns else text
    if not _is_list(asked) or len(asked) != 2:
        raise ValueError(
            "A question is asked about a context. Pass text= both columns, ('question', "
            f"'context') by default. Received: text={text!r}, {where} with columns "
            f"{shorten(list(columns))}"
        )
    texts = [pick_column(columns, name, "text", where) for name in asked]
    answers = list(label) if _is_list(label) else [label]
    if answers == ["label"] and "label" not in columns:
        usual = [name for name in _ANSWERS if name in columns]
        answers = [usual[0] if usual else "answer"]
    if len(answers) == 1:
        answers += [name for name in _STARTS if name in columns][:1]
    if len(answers) > 2:
        raise ValueError(
            "Answers and their starts must be in two columns. Pass label=('answer', "
            f"'start'), or the first alone. Received: label={label!r}"
        )
    return texts + [pick_column(columns, name, "label", where) for name in answers]


def _json_rows(path: Path, encoding: str, text: Any, label: Any) -> Iterator[Row]:
    """Yields the questions of SQuAD's file, or the rows of another file."""
    content = path.read_text(encoding).strip()
    whole = _whole(content)
    if isinstance(whole, Mapping) and "data" in whole:
        yield from _squad(whole["data"], path)
        return
    if isinstance(whole, Mapping):
        whole = [whole]
    if whole is None:
        whole = []
        for number, line in enumerate(content.split("\n"), 1):
            try:
                whole += [json.loads(line)] if line.strip() else []
            except ValueError as error:
                raise ValueError(
                    f"{_LAYOUT} Check how the file was written. "
                    f"Received: {str(path)!r}, line {number:,}: {error}"
                ) from error
    if not isinstance(whole, list) or not all(isinstance(row, Mapping) for row in whole):
        raise ValueError(f"{_LAYOUT} Received: {str(path)!r} with {json.dumps(whole)[:60]}")
    try:
        yield from _rows_of(pd.DataFrame(whole), text, label, str(path))
    except ValueError as error:
        if "column must be in the table" not in str(error):
            raise
        raise ValueError(f"{_LAYOUT} {error}") from error


def squad_pairs(path: str, encoding: str | None = None) -> list[tuple[Any, Any]] | None:
    """Returns the questions of a SQuAD file with their contexts; None for another file."""
    files, _ = find_files(path)
    content = _whole(files[0].read_text(choose_encoding(files[0], encoding, {})))
    if len(files) > 1 or not isinstance(content, Mapping) or "data" not in content:
        return None
    return [(row.question, row.context) for row in _squad(content["data"], files[0])]


def _whole(content: str) -> Any:
    """Parses JSON; returns None for anything else, such as lines of JSON."""
    try:
        return json.loads(content)
    except ValueError:
        return None


def _squad(articles: Any, path: Path) -> Iterator[Row]:
    try:
        for article in articles:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    told = f"question {asked.get('id', asked['question'])!r:.60}"
                    answers = [] if asked.get("is_impossible") else asked["answers"]
                    found = [(a["text"], _start(a.get("answer_start"))) for a in answers]
                    found = [(answer, start) for answer, start in found if not _is_empty(answer)]
                    yield Row(told, asked["question"], paragraph["context"], found)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{_LAYOUT} Received: {str(path)!r}, which gave {type(error).__name__}: {error}"
        ) from error
