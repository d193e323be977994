"""What models are asked about: texts, lines of texts, rows of a table, or windows of a series."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO
from zipfile import BadZipFile, ZipFile

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import say
from keras_seqzoo.serving.versions import CARD, find_version

if TYPE_CHECKING:
    import pandas as pd

    from keras_seqzoo.data.series import SeriesTable
    from keras_seqzoo.data.stream import TextStream

Texts = Annotated[
    list[str] | None,
    typer.Argument(help="Texts, two for each pair; by default standard input."),
]
Source = Annotated[
    str | None,
    typer.Option(
        "--input",
        "-i",
        help="A table, words with tags (.conll), SQuAD's JSON or a series; a .txt file or '-' for "
        "standard input has one text on each line (two separated by a tab for pairs), unless "
        "there is --text.",
    ),
]
# Texts or pairs, and the rows that they stand in.
Block = tuple[list[Any], "pd.DataFrame"]

_CHUNK = 2048
_STDIN = ("-", "/dev/stdin")


def read_blocks(
    texts: list[str] | None, source: str | None, reading: o.Reading, quiet: bool
) -> Iterator[Block]:
    """Reads what a model is asked about, some rows at a time and in order.

    Args:
        texts: those given as arguments; then there is no source.
        source: a table or file of lines; standard input if None.
        reading: how a table is read; its text is None where no column was named.
        quiet: whether nothing is said.

    Returns:
        The texts or, of a table with two columns of them, pairs; and the rows that they stand in
        with all columns: those of a table, else `text`.

    Raises:
        ValueError: texts and a source, or options of tables for what is none.
    """
    if texts and source is not None:
        raise ValueError("Pass texts or --input, not both. Received: both")
    from keras_seqzoo.data.answers import squad_pairs
    from keras_seqzoo.data.tags import SUFFIXES

    check_texts(reading)
    source = source or "-"
    is_stdin = source in _STDIN
    if not texts and source.lower().endswith(SUFFIXES):
        return _blocks(replace(reading, label=o.LABEL).read(source).texts.tolist(), _CHUNK)
    is_json = not texts and reading.text is None and source.lower().endswith(".json")
    if is_json and (pairs := squad_pairs(source, reading.encoding)) is not None:
        return _blocks(pairs, _CHUNK)
    if not texts and is_table(source, reading):
        # A stream is checked to its end before the first row is answered, and takes no memory.
        return _rows(reading.read(source, stream=True))
    if reading.text is not None or reading.describes_table:
        raise ValueError(
            "Options for reading a table do not apply to texts or lines of text. Name the column "
            "of a "
            "table with --text, or leave such options out. Received: "
            + ("texts as arguments" if texts else f"{source!r}, read as lines of text")
        )
    if texts:
        return _blocks(texts, len(texts))
    if not is_stdin:
        return _lines(Path(source).open("rb"), source, reading.encoding)
    if sys.stdin.isatty():
        say("Type one text on each line; end with Ctrl-D.", quiet)
    return _lines(sys.stdin.buffer, "standard input", reading.encoding)


def is_table(source: str | None, reading: o.Reading) -> bool:
    """Whether a source is read as a table; else it is lines of text."""
    source = source or "-"
    return reading.text is not None or not (source in _STDIN or Path(source).suffix == ".txt")


def for_model(
    blocks: Iterable[Block],
    model: Any,
    texts: list[str] | None,
    source: str | None,
    reading: o.Reading,
) -> Iterator[Block]:
    """What `read_blocks` has read, as a model takes it: pairs for a model of pairs.

    Args:
        blocks: what it returned.
        model: that is asked.
        texts: as it was given; two of them make a pair, in lines a tab stands between.
        source: the same.
        reading: the same.

    Raises:
        ValueError: a table of pairs for a model of texts, or the reverse; or no two texts.
    """
    before, of_table = 0, not texts and is_table(source, reading)
    for asked, rows in blocks:
        is_pair = not isinstance(asked[0], str)
        if is_pair and not model.pair:
            raise ValueError(
                "The model reads one text for each row. Name its column with one --text. "
                "Received: two columns of texts"
            )
        if model.pair and not is_pair and of_table:
            raise ValueError(
                "The model reads pairs of texts. Name both columns: --text FIRST --text SECOND. "
                f"Received: --text {(reading.text or o.TEXT)[0]}"
            )
        if model.pair and not is_pair:
            asked = _in_twos(asked) if texts else _at_tabs(asked, before)
            rows = _frame(asked)
        before += len(asked)
        yield asked, rows


def check_texts(reading: o.Reading) -> None:
    """Raises where a model of texts is asked about a series.

    Raises:
        ValueError: so.
    """
    if reading.is_series:
        given = [f"--{name.replace('_', '-')}" for name in reading.of_series] or ["--target"]
        raise ValueError(
            "The model reads texts. Name their column with --text, and leave the options for "
            f"series out. Received: {' '.join(given)}"
        )


def reads_series(model: Any) -> bool:
    """Whether a model, or the file or export folder that is to be loaded, reads series.

    Whatever else is wrong with a file or folder is told when it is loaded.
    """
    if not isinstance(model, Path):
        return "values" in model.served_inputs
    try:
        if model.suffix == ".keras":
            with ZipFile(model) as file:
                config = json.loads(file.read("config.json"))
            return bool(config["class_name"] == "SeriesPredictor")
        card = json.loads((find_version(model) / CARD).read_text("utf-8"))
        return bool(card["inputs"] == ["values"])
    except (OSError, BadZipFile, KeyError, TypeError, ValueError):
        return False


def read_windows(
    reading: o.Reading, source: str, model: Any, target: str | None = None, asked: bool = True
) -> SeriesTable:
    """Reads a series as a model takes it: its columns, window and horizon.

    Args:
        reading: what the user gave.
        source: the file.
        model: of series.
        target: what the user says is asked.
        asked: whether there is a truth to be read; else windows reach to the end.

    Raises:
        ValueError: what the user gave is not what the model has, or what `read_series` says.
    """
    if reading.of_texts:
        raise ValueError(
            "The model reads windows of a series. Leave out the options for texts. "
            f"Received: {', '.join(reading.of_texts)}"
        )
    is_forecast = model.task.target.kind == "future"
    own = {
        "window": int(model.served_inputs["values"].shape[1]),
        "horizon": model.task.target.horizon,
    }
    kind = "future" if is_forecast else "direction"
    for name, wanted in {**own, "target": kind}.items():
        given = target if name == "target" else getattr(reading, name)
        if given not in (None, wanted):
            raise ValueError(
                f"--{name} is that of the model, {wanted}. Leave it out. Received: --{name} {given}"
            )
    columns = list(model.columns)
    if reading.value is not None and len(reading.value) != len(columns):
        raise ValueError(
            f"The model reads {len(columns)} column{'s' * (len(columns) > 1)}, "
            f"{', '.join(columns)}. Give --value for each of them, in this order, or leave it out. "
            f"Received: {' '.join(f'--value {name}' for name in reading.value)}"
        )
    value = reading.value or columns
    table = reading.read_series(source, kind if asked else None, value=value, **own)
    return table.renamed(columns)


def _in_twos(texts: list[str]) -> list[tuple[str, str]]:
    if len(texts) % 2:
        raise ValueError(
            "The model reads pairs of texts: give two arguments for each. "
            f"Received: {len(texts)} texts"
        )
    return list(zip(texts[::2], texts[1::2], strict=True))


def _at_tabs(lines: list[str], before: int) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(lines, before + 1):
        first, *others = line.split("\t")
        if len(others) != 1:
            raise ValueError(
                "The model reads pairs of texts: each line must be two, separated by a tab. For a "
                "table with a header, name the columns: --text FIRST --text SECOND. "
                f"Received: {line[:80]!r} in line {number}"
            )
        pairs.append((first, others[0]))
    return pairs


def read_lines(path: Path, pair: bool) -> list[Any]:
    """Reads the texts of a file, one a line that is not empty, or pairs with a tab between.

    Raises:
        ValueError: a line without a tab, or with two of them, where there should be pairs.
    """
    from keras_seqzoo.batches.packing import read_corpus

    lines = read_corpus(path)[0].splitlines()
    if pair:
        return _at_tabs(lines, 0)
    return [line for line in lines if line.strip()]


def texts_of(source: str, reading: o.Reading, pair: bool) -> list[Any]:
    """Reads texts, or pairs, without labels: of a file of lines or of a table.

    Raises:
        ValueError: whatever is wrong with either.
    """
    if Path(source).suffix == ".txt":
        return read_lines(Path(source), pair)
    texts: list[Any] = replace(reading, label=None).read(source).texts.tolist()
    return texts


def _rows(table: TextStream) -> Iterator[Block]:
    for rows, texts in table.blocks():
        for start in range(0, len(texts), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield texts[part].tolist(), rows.iloc[part]


def _lines(file: BinaryIO, name: str, encoding: str | None) -> Iterator[Block]:
    from keras_seqzoo.data.reading import text_lines

    # From a terminal, each line is answered as it comes.
    return _blocks(text_lines(file, name, encoding), 1 if file.isatty() else _CHUNK)


def _blocks(texts: Iterable[Any], size: int) -> Iterator[Block]:
    remaining: Any = iter(texts)
    while block := list(islice(remaining, size)):
        yield block, _frame(block)


def _frame(asked: list[Any]) -> pd.DataFrame:
    import pandas as pd

    is_pair = not isinstance(asked[0], str)
    return pd.DataFrame(asked, columns=["text", "text_pair"][: 1 + is_pair])
