"""The bar that `explain` draws while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Report:
    """Moves a progress bar of rich, if there is one."""

    bar: Any = None
    questions: int = 0

    def asked(self, questions: int) -> None:
        """Adds texts that the model answered."""
        self.questions += questions
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], questions=f"{self.questions:,}")

    def done(self, texts: int) -> None:
        """Adds texts that are explained."""
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=texts)


@contextmanager
def progress_bar(texts: int, wanted: bool) -> Iterator[Report]:
    """Draws a bar on stderr while texts are explained, if `wanted`."""
    if not wanted:
        yield Report()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    with Progress(
        TextColumn("explaining"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("texts, {task.fields[questions]} questions to the model"),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        bar.add_task("", total=texts, questions="0")
        yield Report(bar)
