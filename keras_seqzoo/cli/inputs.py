"""What `predict` and `explain` are asked about: texts, lines of texts, or rows of a table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import say

if TYPE_CHECKING:
    import pandas as pd

    from keras_seqzoo.data.stream import TextStream

Texts = Annotated[list[str] | None, typer.Argument(help="Texts; by default standard input.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--input",
        "-i",
        help="A table; a .txt file or '-' for standard input, a text a line unless there is "
        "--text.",
    ),
]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text",
        help="Column of the texts, 'text' by default; standard input and .txt files are read as "
        "tables where it is given.",
        rich_help_panel=o.READING,
    ),
]

_CHUNK = 2048


def read_blocks(
    texts: list[str] | None, source: str | None, reading: o.Reading, quiet: bool
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    """Reads what a model is asked about, some rows at a time and in order.

    Args:
        texts: those given as arguments; then there is no source.
        source: a table or file of lines; standard input if None.
        reading: how a table is read; its text is None where no column was named.
        quiet: whether nothing is said.

    Returns:
        The texts, and the rows that they stand in with all columns: those of a table, else `text`.

    Raises:
        ValueError: texts and a source, or options of tables for what is none.
    """
    if texts and source is not None:
        raise ValueError("Pass texts or --input, not both. Received: both")
    source = source or "-"
    is_stdin = source in ("-", "/dev/stdin")
    if not texts and (reading.text is not None or not (is_stdin or Path(source).suffix == ".txt")):
        # A stream is checked to its end before the first row is answered, and takes no memory.
        return _rows(reading.read(source, stream=True))
    if reading.text is not None or reading.describes_table:
        raise ValueError(
            "How a table is read cannot be said of texts or lines of text. Name the column of a "
            "table with --text, or leave such options out. Received: "
            + ("texts as arguments" if texts else f"{source!r}, read as lines of text")
        )
    if texts:
        return _blocks(texts, len(texts))
    if not is_stdin:
        return _lines(Path(source).open("rb"), source, reading.encoding)
    if sys.stdin.isatty():
        say("Type a text a line; end with Ctrl-D.", quiet)
    return _lines(sys.stdin.buffer, "standard input", reading.encoding)


def _rows(table: TextStream) -> Iterator[tuple[list[str], pd.DataFrame]]:
    for rows, texts in table.blocks():
        for start in range(0, len(texts), _CHUNK):
            part = slice(start, start + _CHUNK)
            yield texts[part].tolist(), rows.iloc[part]


def _lines(
    file: BinaryIO, name: str, encoding: str | None
) -> Iterator[tuple[list[str], pd.DataFrame]]:
    from keras_seqzoo.data.reading import text_lines

    # From a terminal, each line is answered as it comes.
    return _blocks(text_lines(file, name, encoding), 1 if file.isatty() else _CHUNK)


def _blocks(texts: Iterable[str], size: int) -> Iterator[tuple[list[str], pd.DataFrame]]:
    import pandas as pd

    remaining: Any = iter(texts)
    while block := list(islice(remaining, size)):
        yield block, pd.DataFrame({"text": block})
