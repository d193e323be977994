"""How `predict` writes answers: under each question its context, with the answer in it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from keras_seqzoo.cli.tagged import one_line

if TYPE_CHECKING:
    from keras_seqzoo.tasks.base import Task


def answer_writer(task: Task, quiet: bool) -> Callable[..., None]:
    """Writes two lines a row; the answer is coloured in a terminal and in brackets elsewhere."""

    def marked(text: str) -> str:
        if not sys.stdout.isatty():
            return f"[{text}]"
        return typer.style(text, fg="green", bold=True, underline=True)

    def write(asked: Sequence[Any], _: Any, outputs: Any) -> None:
        for (question, context), said in zip(asked, outputs, strict=True):
            answer = one_line(said["answer"]) or "no answer"
            typer.echo(f"{one_line(question)}  {answer} ({said['probability']:.3f})")
            if said["answer"]:
                before, after = context[: said["start"]], context[said["end"] :]
                context = one_line(before) + marked(answer) + one_line(after)
            else:
                context = one_line(context)
            typer.echo(f"  {context}")

    return write


WRITERS = {"table": answer_writer}
