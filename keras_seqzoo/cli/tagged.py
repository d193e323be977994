"""How `predict` writes tagged pieces: within their texts, or as words with tags."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from keras_seqzoo.tasks.base import Task

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")
_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "red")


def marked_writer(task: Task, quiet: bool) -> Callable[..., None]:
    """Writes a text a line, its pieces coloured in a terminal and in brackets elsewhere."""
    colour_of = {n: _COLOURS[i % len(_COLOURS)] for i, n in enumerate(task.names)}

    def marked(text: str, label: str) -> str:
        if not sys.stdout.isatty():
            return f"[{text} {label}]"
        return typer.style(f"{text} {label}", fg=colour_of[label], underline=True)

    def write(asked: Sequence[str], _: Any, outputs: Any) -> None:
        for text, pieces in zip(asked, outputs, strict=True):
            shown, at = "", 0
            for piece in pieces:
                inner = marked(one_line(piece["text"]), one_line(piece["label"]))
                shown += one_line(text[at : piece["start"]]) + inner
                at = piece["end"]
            typer.echo(shown + one_line(text[at:]))

    return write


def one_line(text: str) -> str:
    """A text without line breaks, and without what a terminal would take as commands."""
    return _CONTROLS.sub("\ufffd", re.sub(r"\s", " ", text))


def conll_writer(task: Task, quiet: bool) -> Callable[..., None]:
    """Writes a word and its BIO tag a line, with a tab between, and a blank line after a text.

    Words stand between spaces, and end where a piece begins or ends.
    """

    def write(asked: Sequence[str], _: Any, outputs: Any) -> None:
        for text, pieces in zip(asked, outputs, strict=True):
            at = 0
            for piece in [*pieces, {"start": len(text), "end": len(text), "label": ""}]:
                for word in text[at : piece["start"]].split():
                    typer.echo(f"{word}\tO")
                for place, word in enumerate(text[piece["start"] : piece["end"]].split()):
                    typer.echo(f"{word}\t{'I' if place else 'B'}-{piece['label']}")
                at = piece["end"]
            typer.echo("")

    return write


WRITERS = {"table": marked_writer, "conll": conll_writer}
