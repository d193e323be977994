"""`keras-seqzoo decide`: thresholds and "unsure" at a promise, as the next version of a model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, say
from keras_seqzoo.cli.evaluate import read_for
from keras_seqzoo.cli.train import publish
from keras_seqzoo.files import check_exists


@o.reads("task", "drop_duplicates")
def decide_command(
    model: Annotated[Path, typer.Argument(help="A .keras file.")],
    data: o.Data,
    reading: o.Reading,
    error: Annotated[
        float | None,
        typer.Option(
            help="Answer 'unsure' if needed to keep the error of the other answers at "
            "this rate, such as 0.02."
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Precision to keep for a class or label, such as spam=0.99.",
        ),
    ] = None,
    recall: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Recall to keep for a class or label, such as spam=0.9.",
        ),
    ] = None,
    level: Annotated[
        float,
        typer.Option(help="Confidence that the promise holds on new rows, from 0.5 to below 1."),
    ] = 0.9,
    out: Annotated[
        Path | None, typer.Option(help="Export folder; by default that of OUT/<version>.keras.")
    ] = None,
    batch_size: o.BatchSize = 256,
    allow_changes: o.AllowChanges = False,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Set the probability from which a model answers, on labelled rows that it has not learnt.

    Writes the next version as `train` does: OUT/<version> (SavedModel), OUT/<version>.keras, and
    OUT/<version>.json, which records what was promised and what was found. Either --error, or
    --precision and --recall by class or label, which may be repeated.
    """
    wanted = [
        _by_name(given, name) for given, name in ((precision, "--precision"), (recall, "--recall"))
    ]
    if out is None and not (model.suffix == ".keras" and model.stem.isdecimal()):
        raise ValueError(
            "The export folder is known only for a file OUT/<version>.keras, as `train` writes "
            "it. Give --out. "
            f"Received: {model}"
        )
    check_exists(model)
    load_tensorflow()
    from keras_seqzoo.reports.decide import decide
    from keras_seqzoo.tasks.keras_file import load_keras_file

    loaded = load_keras_file(model, trust)
    table = read_for(loaded, reading, data)
    say(f"Deciding on {len(table):,} {table.inputs.noun} of {data} with {model}", quiet)
    found = decide(
        loaded,
        table,
        error=error,
        precision=wanted[0],
        recall=wanted[1],
        level=level,
        batch_size=batch_size,
    )
    typer.echo(str(found))
    command = shlex.join(["keras-seqzoo", *sys.argv[1:]])
    publish(loaded, out or model.parent, {"command": command, **found.as_dict()}, allow_changes)


def _by_name(given: list[str] | None, option: str) -> dict[str, float]:
    """Reads NAME=VALUE pairs, whose names are of classes, as they are."""
    found: dict[str, float] = {}
    for assignment in given or []:
        name, _, value = assignment.rpartition("=")
        try:
            number = float(value)
        except ValueError:
            name = ""
        if not name or name in found:
            raise ValueError(
                f"{option} takes NAME=VALUE: a class or label, each once, and a number. "
                f"Received: {option} {assignment}"
            )
        found[name] = number
    return found
