"""Progress of a comparison, on stderr: a line for each model, and a bar while it trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_DOING = {
    "start": "starting",
    "asking": "asking its teacher",
    "testing": "answering the test rows",
    "exporting": "exporting",
    "measuring": "measuring",
    "explaining": "explaining mistakes",
}


class ComparisonProgress:
    """Prints the progress of a comparison.

    Args:
        console: the console to print to; stderr by default.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(
            stderr=True,
            highlight=False,
            soft_wrap=True,
            force_jupyter=False,  # Jupyter would make an output of every line
        )
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._begun = 0.0
        self._place: dict[str, str] = {}

    def __call__(self, label: str, event: Mapping[str, Any]) -> None:
        """Prints an event of a model."""
        kind = event["event"]
        if kind == "begin":
            labels = event["labels"]
            self._place = {name: f"{i + 1}/{len(labels)}" for i, name in enumerate(labels)}
            self._say(f"Comparing {len(labels)} models; everything is kept in {event['folder']}")
        elif kind == "end":
            self._say(f"Compared in {event['seconds']:,.0f} s")
        elif kind == "done before":
            self._say(f"{self._name(label)}: done in an earlier run")
        elif kind in ("done", "trouble"):
            self._stop()
            seconds = time.monotonic() - self._begun
            end = f"not complete, {event['reason']}" if kind == "trouble" else "done"
            self._say(f"{self._name(label)}: {end}  {seconds:,.1f} s")
        else:
            self._show(label, event)

    def _show(self, label: str, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "start":
            self._begun = time.monotonic()
            self._start(label)
        if kind == "epoch":
            logs = event["logs"]
            figures = "  ".join(f"{k} {logs[k]:.4f}" for k in ("loss", "val_loss") if k in logs)
            self._say(
                f"{self._name(label)}: seed {event['seed']}  epoch {event['epoch']}/"
                f"{event['epochs']}  {figures}"
            )
        doing = _DOING.get(kind, "training")
        if kind in ("step", "epoch"):
            doing = f"seed {event['seed']}, epoch {event['epoch']}/{event['epochs']}"
        if kind == "trial":
            doing = f"search, trial {event['trial']}/{event['trials']}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, doing=doing, completed=event.get("done", 0.0))

    def _start(self, label: str) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[doing]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task(self._name(label), total=1.0, doing="starting")
        self._bar.start()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _name(self, label: str) -> str:
        return f"[{self._place.get(label, '')}] {label}"

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False)
