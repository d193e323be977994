"""Progress of a training: a bar within the epoch, a line after it."""

from __future__ import annotations

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress(keras.callbacks.Callback):
    """Draws a bar while an epoch runs, and prints its figures when it ends.

    Args:
        console: where to print.
        epochs: epochs in all.
    """

    recovery_state = ("_best",)

    def __init__(self, console: Console, epochs: int):
        super().__init__()
        self.console = console
        self.epochs = epochs
        self.epoch = 0
        self._best = float("inf")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch + 1
        self._begun = time.monotonic()
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._progress.add_task(
            "", total=self.params.get("steps"), epoch=f"{self.epoch}/{self.epochs}", figures=""
        )
        self._progress.start()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._progress.update(self._task, completed=batch + 1, figures=_figures(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._progress.stop()
        told = logs or {}
        names = ("val_calibrated_loss", "val_loss", "loss")
        watched = next((told[name] for name in names if name in told), 0.0)
        mark = "  best so far" if watched < self._best else ""
        self._best = min(self._best, watched)
        seconds = time.monotonic() - self._begun
        self.console.print(
            f"epoch {self.epoch}/{self.epochs}  {_figures(logs)}  {seconds:.1f} s{mark}"
        )

    def stop(self) -> None:
        """Takes the bar away; for a training that was interrupted."""
        if hasattr(self, "_progress"):
            self._progress.stop()


class AskingProgress:
    """Draws a bar while a teacher is asked, and prints a line when it has answered.

    It is told how many texts of how many are answered.

    Args:
        console: where to print.
        quiet: whether nothing is printed.

    Attributes:
        is_done: whether all are answered.
    """

    def __init__(self, console: Console, quiet: bool):
        self.is_done = False
        self._console, self._quiet = console, quiet
        self._begun = time.monotonic()
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._progress is None:
            self._progress = Progress(
                TextColumn("asking the teacher"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                disable=self._quiet or not self._console.is_terminal,
            )
            self._task = self._progress.add_task("", total=total)
            self._progress.start()
        self._progress.update(self._task, completed=done)
        if done == total:
            self.is_done = True
            self.stop()
            seconds = time.monotonic() - self._begun
            if not self._quiet:
                self._console.print(f"The teacher has answered {total:,} texts  {seconds:.1f} s")

    def stop(self) -> None:
        """Takes the bar away."""
        if self._progress is not None:
            self._progress.stop()


def _figures(logs: dict[str, Any] | None) -> str:
    shown = {name: value for name, value in (logs or {}).items() if name != "learning_rate"}
    return "  ".join(f"{name} {float(value):.4f}" for name, value in shown.items())
