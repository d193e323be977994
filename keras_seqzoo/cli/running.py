"""Running text on the command line: how a text file is divided, and how filled masks are shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from keras_seqzoo.checks import check_rate

if TYPE_CHECKING:
    from keras_seqzoo.data.table import TextTable
    from keras_seqzoo.tasks.base import Task

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


def text_parts(
    source: str, valid_source: str | None, test_source: str | None, valid: float, test: float
) -> tuple[TextTable, TextTable, TextTable]:
    """Reads a text file as one document, of which the end validates and tests.

    Args:
        source: path of the file.
        valid_source: that of a text to validate on.
        test_source: that of a text to test on.
        valid: share to validate on, without a source.
        test: share to test on, without a source.

    Returns:
        Tables of one text each, or of none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no text in it, or no room for the shares.
    """
    from keras_seqzoo.batches.packing import read_corpus
    from keras_seqzoo.data.table import TextTable

    shares = [0.0 if valid_source else valid, 0.0 if test_source else test]
    check_rate(valid=shares[0], test=shares[1])
    if sum(shares) >= 1:
        raise ValueError(
            "The shares to validate and test on must leave text to train on. Make them smaller. "
            f"Received: --valid {valid} --test {test}"
        )
    [text] = read_corpus(source)
    first = _line_after(text, 1 - sum(shares))
    second = _line_after(text, 1 - shares[1])
    parts = [text[:first], text[first:second], text[second:]]
    for place, other in ((1, valid_source), (2, test_source)):
        if other:
            [parts[place]] = read_corpus(other)
    whole = TextTable.from_texts(parts)
    train, *held_out = ([i] if part.strip() else [] for i, part in enumerate(parts))
    return whole.take(train), whole.take(held_out[0]), whole.take(held_out[1])


def _line_after(text: str, share: float) -> int:
    """Where the first line begins behind a share of a text; a word where there are no lines."""
    at = round(share * len(text))
    found = re.compile(r"\n+|\s+(?=[^\n]*$)").search(text, max(at - 1, 0))
    return found.end() if found and at < len(text) else at


def masked_writer(task: Task, quiet: bool) -> Callable[..., None]:
    """Writes a text a line, and under it a line for each mask: its likeliest tokens."""

    def write(asked: Sequence[str], _: Any, outputs: Any) -> None:
        for text, told in zip(asked, task.decode(outputs), strict=True):
            typer.echo(_one_line(text))
            for mask in told["masks"]:
                said = (f"{_one_line(t['token'])} {t['probability']:.3f}" for t in mask)
                typer.echo("  " + "  ".join(said))

    return write


def _one_line(text: str) -> str:
    return _CONTROLS.sub("\ufffd", " ".join(text.split()))


WRITERS = {"table": masked_writer}
