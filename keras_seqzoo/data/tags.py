"""Texts with tagged pieces, such as named entities: files and frames to spans of characters.

A span is `(start, end, type)`: the position of its first character, the position after its last,
and its type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import regex
from pandas.api.types import is_list_like

from keras_seqzoo.checks import warn
from keras_seqzoo.data.encoding import choose_encoding
from keras_seqzoo.data.reading import file_format, pick_column, shorten, text_lines
from keras_seqzoo.data.sources import find_files

Span = tuple[int, int, str]

SUFFIXES = (".conll", ".conll2003", ".bio", ".bioes", ".iob", ".iob2")
"""Suffixes of files with columns of words and tags, which are read as such for any target."""

# Models cannot tag these separately: neighbours in a word (see `preprocessing.placed.split_words`).
_WITHIN_WORD = regex.compile(r"(?V1)[[\p{L}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}]]{2}")
_SHOWN = 5  # most rows that a warning names
_OUTSIDE = "O"
_LETTERS = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S"}  # BILOU's last two
_PREFIXED = re.compile(r"([A-Z])-(.*)", re.DOTALL)
_SPANS = ("label", "labels", "entities", "spans", "annotations")
_TAGS = ("tags", "ner_tags")
_WORDS = ("tokens", "words")
_WITHOUT_SCHEME = (
    "Tags are O, and B-, I-, E-, S- or I- alone before a type (BIO, BIOES, IO), or types alone. "
    "Write them so."
)


def read_tagged(
    source: Any, text: Any, label: Any, encoding: str | None, drop: bool, options: Mapping[str, Any]
) -> pd.DataFrame:
    """Reads texts and their spans.

    Args:
        source: a path, a pattern or a DataFrame. A `.json` or `.jsonl` file holds texts and spans
            as `_spans_of` takes them, as lines or as an array. A `.parquet`, `.csv` or `.tsv` file
            has columns of them (in CSV as JSON). Any other file has a word with its tag on each
            line, and blank lines between sentences.
        text: column of the texts, or of lists of words; for lines by position, the first by
            default.
        label: column of the spans, or of lists of tags; for lines by position, the last by default.
        encoding: codec of a text file.
        drop: not used: faulty spans are always an error.
        options: must be empty: these readers have no further options.

    Returns:
        A frame of `text` and `label`; each label is a list of spans in order.

    Raises:
        ValueError: faults of a scheme, spans that do not fit the text, or other faults.
    """
    if options:
        raise ValueError(
            "Tagged texts are read without options of pandas. Leave them out, or read a frame "
            f"first. Received: {shorten(list(options))}"
        )
    if isinstance(source, pd.DataFrame):
        return _frame_of(_rows_of(source, text, label, "DataFrame"), "DataFrame")
    files, _ = find_files(source)
    return _frame_of(chain.from_iterable(_rows(f, text, label, encoding) for f in files), source)


def tagged_frame(texts: Any, labels: Any) -> pd.DataFrame:
    """Does the same as `read_tagged`, for texts or lists of words, and their spans or tags."""
    texts, labels = list(texts), list(labels)
    if len(texts) != len(labels):
        raise ValueError(
            "Every text needs its spans or tags, [] if there are none. Check how the two were "
            f"made. Received: {len(texts):,} texts, {len(labels):,} labels"
        )
    rows = ((f"row {i}", *row) for i, row in enumerate(zip(texts, labels, strict=True), 1))
    return _frame_of(rows, "texts")


Row = tuple[str, Any, Any]  # its place in the source; a text or words; spans or tags


def _frame_of(rows: Iterable[Row], source: Any) -> pd.DataFrame:
    rows = list(rows)
    scheme = _Scheme([label for _, text, label in rows if _are_tags(text, label)])
    texts, spans, within = [], [], []
    for where, text, label in rows:
        try:
            texts.append(joined(text) if _is_list(text) else text)
            spans.append(_spans_of(text, label, scheme))
        except ValueError as error:
            raise ValueError(f"{error} in {where} of {str(source)!r}") from error
        within += [
            f"{where}: {texts[-1][start:end]!r}"
            for start, end, _ in spans[-1] or ()
            if any(at and _WITHIN_WORD.match(texts[-1], at - 1) for at in (start, end))
        ]
    if within:
        shown = "; ".join(within[:_SHOWN]) + "; …" * (len(within) > _SHOWN)
        warn(
            f"{len(within):,} span{'s' * (len(within) > 1)} of {source}: beginning or ending "
            f"within a word, but models tag whole words: {shown}."
        )
    return pd.DataFrame(
        {"text": pd.Series(texts, dtype=object), "label": pd.Series(spans, dtype=object)}
    )


def joined(words: Sequence[Any]) -> str:
    """Joins words to a text, with single spaces between.

    Raises:
        ValueError: a value that is not a word.
    """
    wrong = [word for word in words if not isinstance(word, str) or not word]
    if wrong:
        raise ValueError(
            f"Words are strings, none of them empty. Leave others out. Received: {wrong[0]!r}"
        )
    return " ".join(words)


def _spans_of(text: Any, label: Any, scheme: _Scheme) -> list[Span] | None:
    """Returns the spans of a row, in order.

    Args:
        text: a text, or words.
        label: spans, each `(start, end, type)` or a dict of `start`, `end` and `label` (or
            `labels`, a list of one; or all of these in its `value`), or a dict with these in
            `entities`; for words, tags are possible, too. None if it is missing.
        scheme: the scheme of the tags.
    """
    if isinstance(label, Mapping):
        label = next((label[name] for name in _SPANS if name in label), label)
    if label is None or isinstance(label, float):
        return None
    if not _is_list(label):
        raise ValueError(
            "Spans are a list of (start, end, type), and tags a list of one for each word. "
            f"Received: {shorten([label])}"
        )
    label = list(label)
    if _are_tags(text, label):
        return scheme.spans(list(text), label)
    if label and all(isinstance(tag, int | np.integer) for tag in label):
        raise ValueError(
            "Tags are names, such as B-person. Map numbers to their names first. "
            f"Received: {shorten(label, 4)}"
        )
    text = joined(text) if _is_list(text) else text
    if not isinstance(text, str):
        return [] if label else None  # the table reports what is wrong with such a text
    if label and all(isinstance(tag, str) for tag in label):
        raise ValueError(
            "Tags go with words, and spans with a text. Pass the words as a list, or spans as "
            f"(start, end, type). Received: tags {shorten(label, 3)} with {shorten([text])}"
        )
    return checked_spans(text, [found for one in label for found in _span(one, text)])


def _span(one: Any, text: str) -> Iterator[Span]:
    """Yields the span in a list or dict; nothing for other annotations of Label Studio."""
    if isinstance(one, Mapping) and "result" in one:  # an annotation of Label Studio
        for found in one["result"]:
            yield from _span(found, text)
        return
    if isinstance(one, Mapping):
        inner = one.get("value", one)
        kind = inner.get("labels", inner.get("label"))
        if "start" not in inner and one.get("type") not in (None, "labels"):
            return
        kind = kind[0] if isinstance(kind, list) and len(kind) == 1 else kind
        start, end = inner.get("start"), inner.get("end")
        said = inner.get("text")
        if isinstance(said, str) and isinstance(start, int) and text[start:end] != said:
            start, end = _of_code_units(text, start, end, said)
    elif _is_list(one) and len(one) == 3:
        start, end, kind = one
    else:
        start = end = kind = None
    is_place = [isinstance(n, int | np.integer) and not isinstance(n, bool) for n in (start, end)]
    if not all(is_place) or not isinstance(kind, str) or not kind:
        raise ValueError(
            "A span is (start, end, type), or a dict with start, end and label: the first "
            "character, the one after the last, and a name. Write it in this form. "
            f"Received: {shorten([one])}"
        )
    yield int(start), int(end), kind


def _of_code_units(text: str, start: int, end: int, said: str) -> tuple[int, int]:
    """Converts a span that counts 16-bit units, like JavaScript, to characters."""
    units = text.encode("utf-16-le")
    before = units[: 2 * start].decode("utf-16-le", "replace")
    if units[2 * start : 2 * end] != said.encode("utf-16-le"):
        raise ValueError(
            "The text of a span must match its start and end. Correct start and end. "
            f"Received: {said!r}, and {text[start:end]!r} from {start} to {end},"
        )
    return len(before), len(before) + len(said)


@lru_cache(maxsize=4)
def _bounds(text: str) -> frozenset[int]:
    """Returns where characters as readers see them start and end."""
    return frozenset({0, *(cluster.end() for cluster in regex.finditer(r"\X", text))})


def checked_spans(text: str, spans: Sequence[Span]) -> list[Span]:
    """Returns spans in order, without the spaces at their ends.

    Raises:
        ValueError: a span that is empty, reversed, beyond the text, inside a character as readers
            see it (Unicode's extended grapheme cluster), or overlaps another.
    """
    found: list[Span] = []
    for start, end, kind in sorted(spans):
        said = f"Received: ({start}, {end}, {kind!r}) in a text of {len(text):,} characters,"
        if start >= end:
            raise ValueError(f"A span must end after its start. Correct or leave it out. {said}")
        if start < 0 or end > len(text):
            raise ValueError(f"A span must lie within its text. Correct its start and end. {said}")
        inner = text[start:end]
        if not inner.strip():
            raise ValueError(f"A span must hold more than spaces. Correct or leave it out. {said}")
        start, end = end - len(inner.lstrip()), start + len(inner.rstrip())
        if not text.isascii():
            bounds = _bounds(text)
            if start not in bounds or end not in bounds:
                place = start if start not in bounds else end
                raise ValueError(
                    "A span must begin and end between characters, not between a letter and its "
                    "accent or the parts of an emoji. Count characters of the text as it is "
                    f"written in Python. Received: ({start}, {end}, {kind!r}), which cuts "
                    f"{text[max(place - 1, 0) : place + 1]!r},"
                )
        if found and start < found[-1][1]:
            raise ValueError(
                "Spans must not overlap. Keep one of them, such as the longer. "
                f"Received: {found[-1]} and {(start, end, kind)}"
            )
        found.append((start, end, kind))
    return found


class _Scheme:
    """The scheme by which tags name spans, detected from all of them.

    - BIO: `B-` begins a span, `I-` continues it.
    - The older BIO (IOB1): `I-` begins a span, `B-` begins one that touches one of the same type.
    - BIOES, or BILOU: `E-` (`L-`) ends a span of several words, `S-` (`U-`) is a single-word span.
    - IO: only `I-`, or only the types; equal tags that touch are one span.
    """

    def __init__(self, rows: Sequence[Sequence[str]]) -> None:
        found = [_PREFIXED.fullmatch(tag) for tag in set(chain.from_iterable(rows))]
        letters = {_LETTERS.get(match[1], "") for match in found if match}
        self.plain = not letters
        self.ends = bool(letters & {"E", "S"})
        self.is_checked = self.ends or ("B" in letters and not _is_older(rows))

    def parts(self, tag: str) -> tuple[str, str]:
        """Returns the letter and the type of a tag."""
        if tag == _OUTSIDE:
            return _OUTSIDE, ""
        if self.plain:
            return "I", tag
        match = _PREFIXED.fullmatch(tag)
        if match is None or match[1] not in _LETTERS or not match[2]:
            raise ValueError(f"{_WITHOUT_SCHEME} Received: {tag!r}")
        return _LETTERS[match[1]], match[2]

    def fault(self, letter: str, kind: str, before: tuple[str, str]) -> bool:
        """Whether BIO or BIOES forbids a tag after the one before it."""
        inside = before[0] in ("B", "I")
        goes_on = inside and before[1] == kind and letter in ("I", "E")
        left_open = self.ends and inside and not goes_on
        return left_open or (letter in ("I", "E") and not goes_on)

    def spans(self, words: Sequence[Any], tags: Sequence[str]) -> list[Span]:
        """Returns the spans of words in their text, which has a space between each two words."""
        if len(words) != len(tags):
            raise ValueError(
                "Every word must have one tag. Complete the tags, or leave the row out. "
                f"Received: {len(words):,} words, {len(tags):,} tags"
            )
        text, found, at = joined(words), [], 0
        before = (_OUTSIDE, "")
        for place, (word, tag) in enumerate(zip([*words, ""], [*tags, _OUTSIDE], strict=True)):
            letter, kind = self.parts(tag)
            if self.is_checked and self.fault(letter, kind, before):
                raise TagFaultError(place, tag, "-".join(before).rstrip("-"))
            if place == len(words):
                break
            begins = letter in ("B", "S") or before[1] != kind
            if kind and begins:
                found.append((at, at + len(word), kind))
            elif kind:
                found[-1] = (found[-1][0], at + len(word), kind)
            before = (letter, kind)
            at += len(word) + 1
        return checked_spans(text, found)


class TagFaultError(ValueError):
    """A tag that its scheme does not allow at its place.

    Attributes:
        place: number of its word in the row, from 0; if a span is not ended, the number of words.
    """

    def __init__(self, place: int, tag: str, before: str) -> None:
        self.place = place
        super().__init__(
            "In BIO a span begins with B- and goes on with I- of its type; in BIOES it ends with "
            f"E-, or is S- alone. Correct the tag. Received: {tag} after {before}"
        )


def _are_tags(text: Any, label: Any) -> bool:
    is_both = _is_list(text) and _is_list(label)
    return is_both and all(isinstance(tag, str) for tag in label)


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | bytes | Mapping) and is_list_like(value)


def _rows(path: Path, text: Any, label: Any, encoding: str | None) -> Iterator[Row]:
    """Yields the rows of a file."""
    kind = file_format(path)
    if kind == "parquet":
        return _rows_of(pd.read_parquet(path), text, label, str(path))
    codec = choose_encoding(path, encoding, {})
    if kind == "json":
        return _json_rows(path, codec, text, label)
    if path.suffix.lower() in (".csv", ".tsv", ".tab"):
        separator = "," if path.suffix.lower() == ".csv" else "\t"
        frame = pd.read_csv(path, sep=separator, encoding=codec, dtype="str", na_values=[""],
                            keep_default_na=False)  # fmt: skip
        return _rows_of(frame.map(_from_json), text, label, str(path))
    return _lines(path, codec, text, label)


def _from_json(value: Any) -> Any:
    is_json = isinstance(value, str) and value.startswith("[") and value.endswith("]")
    try:
        return json.loads(value) if is_json else value
    except ValueError:
        return value


def _rows_of(frame: pd.DataFrame, text: Any, label: Any, where: str) -> Iterator[Row]:
    columns = list(frame.columns)
    texts = frame[_column(columns, text, "text", where)]
    labels = frame[_column(columns, label, "label", where)]
    rows = enumerate(zip(texts, labels, strict=True), 1)
    return ((f"row {number:,}", *row) for number, row in rows)


def _column(columns: Sequence[Any], wanted: Any, role: str, where: str) -> Any:
    """Returns the wanted column, or one of a usual name if there is no column of the default."""
    usual = (*_WORDS, "data") if role == "text" else (*_TAGS, *_SPANS)
    found = [name for name in usual if name in columns]
    if wanted == role and role not in columns and found:
        return found[0]
    return pick_column(columns, wanted, role, where)


def _json_rows(path: Path, encoding: str, text: Any, label: Any) -> Iterator[Row]:
    """Yields rows of JSON lines or an array: objects, or spaCy's `[text, {"entities": …}]`."""
    content = path.read_text(encoding).strip()
    try:
        # A line may be spaCy's pair, which is an array, too.
        array = json.loads(content) if content.startswith("[") else None
    except ValueError:
        array = None
    is_pair = isinstance(array, list) and len(array) == 2 and isinstance(array[0], str)
    if isinstance(array, list) and not is_pair:
        values = [(f"row {number:,}", value) for number, value in enumerate(array, 1)]
    else:
        values = []
        for number, line in enumerate(content.split("\n"), 1):
            try:
                values += [(f"line {number:,}", json.loads(line))] if line.strip() else []
            except ValueError as error:
                raise ValueError(
                    "Each line must be one JSON object, or the file one array. Check how it was "
                    f"written. Received: {str(path)!r}, line {number:,}: {error}"
                ) from error
    for where, value in values:
        if isinstance(value, list) and len(value) == 2:
            yield (where, *value)
            continue
        if not isinstance(value, Mapping):
            raise ValueError(
                "A row is an object with a text and its spans, or spaCy's [text, {'entities': …}]. "
                f"Write it so. Received: {shorten([value])} in {where} of {str(path)!r}"
            )
        row = value[_column(list(value), text, "text", f"{path}, {where}")]
        if isinstance(row, Mapping):  # Label Studio's "data"
            row = row[_column(list(row), text, "text", f"{path}, {where}")]
        try:
            yield where, row, value[_column(list(value), label, "label", f"{path}, {where}")]
        except ValueError:
            if label != "label":
                raise
            yield where, row, None


def _lines(path: Path, encoding: str, text: Any, label: Any) -> Iterator[Row]:
    """Yields the sentences of a file with a word on each line.

    Messages name faulty tags by line, so the scheme is detected here, too.
    """
    columns = (0 if text == "text" else text, -1 if label == "label" else label)
    try:
        columns = (int(columns[0]), int(columns[1]))  # on the command line they are text
    except ValueError:
        raise ValueError(
            "Columns of words and tags have no names. Pass text= and label= as positions from 0, "
            f"-1 for the last. Received: text={text!r}, label={label!r}"
        ) from None
    rows: list[tuple[list[str], list[str], list[int]]] = [([], [], [])]
    width = 0
    with path.open("rb") as file:
        for number, line in enumerate(text_lines(file, str(path), encoding), 1):
            if not line.strip():
                rows += [([], [], [])] if rows[-1][0] else []
                continue
            fields = line.split("\t") if "\t" in line else line.split()
            if line.startswith("#") and not rows[-1][0] and len(fields) != (width or 2):
                continue
            if line.startswith("-DOCSTART-"):
                continue
            width = width or len(fields)
            if len(fields) != width or width < 2 or not all(fields[c].strip() for c in columns):
                raise ValueError(
                    "Each line must be a word and its tag, separated by a tab or spaces, with the "
                    "same number of columns in all lines. Give every word its tag, or pass "
                    "target= for a table. "
                    f"Received: {str(path)!r}, line {number:,}: {line[:80]!r}, and {width} "
                    f"column{'s' * (width != 1)} before"
                )
            words, tags, numbers = rows[-1]
            words.append(fields[columns[0]].strip())
            tags.append(fields[columns[1]].strip())
            numbers.append(number)
    rows = [row for row in rows if row[0]]
    scheme = _Scheme([tags for _, tags, _ in rows])
    for words, tags, numbers in rows:
        try:
            spans = scheme.spans(words, tags)
        except TagFaultError as fault:
            faulty = numbers[min(fault.place, len(numbers) - 1)]
            end = " at the end of the sentence" if fault.place == len(numbers) else ""
            raise ValueError(f"{fault}{end}, line {faulty:,} of {str(path)!r}") from fault
        except ValueError as error:
            wrong = next((n for n, t in zip(numbers, tags, strict=True) if _odd(scheme, t)), 0)
            raise ValueError(f"{error}, line {wrong or numbers[0]:,} of {str(path)!r}") from error
        yield f"line {numbers[0]:,}", joined(words), spans


def _odd(scheme: _Scheme, tag: str) -> bool:
    try:
        scheme.parts(tag)
    except ValueError:
        return True
    return False


def _is_older(rows: Sequence[Sequence[str]]) -> bool:
    """Whether tags are the older BIO: each B- touches a span of its type, and some I- begin one."""
    begun = False
    for tags in rows:
        for before, tag in zip([_OUTSIDE, *tags], tags, strict=False):
            touches = before != _OUTSIDE and before[1:] == tag[1:]
            if tag.startswith("B-") and not touches:
                return False
            begun = begun or (tag.startswith("I-") and not touches)
    return begun


def span_lists(spans: Any) -> list[list[Span]]:
    """Checks lists of spans, one list for each row, without the texts.

    Raises:
        ValueError: any other value.
    """
    found = []
    for row in spans:
        if not _is_list(row):
            raise ValueError(
                "Every row must have a list of spans (start, end, type), [] for none. "
                f"Received: {shorten([row])}"
            )
        found.append(sorted(span for one in row for span in _span(one, "")))
    return found
