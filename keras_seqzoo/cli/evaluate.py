"""`keras-seqzoo evaluate`: how well a model answers labelled texts."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, say
from keras_seqzoo.cli.inputs import check_texts, read_windows, reads_series
from keras_seqzoo.files import check_page_path
from keras_seqzoo.names import shown_names
from keras_seqzoo.serving.versions import check_model_path


@o.reads("task", "drop_duplicates")
def evaluate_command(
    model: Annotated[Path, typer.Argument(help="A .keras file or an export folder.")],
    data: o.Data,
    reading: o.Reading,
    batch_size: o.BatchSize = 256,
    output: Annotated[str, typer.Option("--format", help="'table', 'csv' or 'json'.")] = "table",
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE.HTML", help="Also write a page about the model.")
    ] = None,
    no_explain: Annotated[
        bool, typer.Option("--no-explain", help="Leave explanations out of the page.")
    ] = False,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Score a model on labelled texts, or on windows of a series."""
    if output not in ("table", "csv", "json"):
        raise ValueError(f"--format must be 'table', 'csv' or 'json'. Received: {output!r}")
    check_model_path(model)
    if report is not None:
        check_page_path(report)
    load_tensorflow()
    from keras_seqzoo.reports.report import evaluate
    from keras_seqzoo.serving.saved import load_predictor

    predictor = load_predictor(model, trust)
    table = read_for(predictor, reading, data)
    say(f"Scoring {len(table):,} {table.inputs.noun} of {data} with {model}", quiet)
    scores = evaluate(predictor, table, batch_size=batch_size)
    if output == "json":
        typer.echo(json.dumps(scores.to_dict(), indent=2, ensure_ascii=False))
    elif output == "csv":
        typer.echo(scores.to_frame().to_csv(), nl=False)
    else:
        typer.echo(str(scores))
    if output != "table":  # which has the warnings
        for warning in scores.warnings:
            say(f"Warning: {warning}", quiet)
    if report is not None:
        command = shlex.join(["keras-seqzoo", *sys.argv[1:]])
        say(f"Writing the page to {report}", quiet)
        scores.to_html(report, explain=not no_explain, command=command)


def read_for(model: Any, reading: o.Reading, data: str) -> Any:
    """Reads a table or series with the truth that a model's task has.

    Raises:
        ValueError: a table of another task, or whatever else is wrong with it.
    """
    if reads_series(model):
        return read_windows(reading, data, model, reading.target)
    check_texts(reading)
    task = model.task
    if task.target is None:
        raise ValueError(
            "A table has no right answers for this model. `train` prints its figures on test "
            "texts; in Python, call model.evaluate(texts). "
            f"Received: a model of the task {task.name!r}"
        )
    own = f"The model is of the task {task.name!r} ({shown_names(task.names)})"
    if reading.target not in (None, task.target.kind):
        raise ValueError(f"{own}. Leave --target out. Received: --target {reading.target}")
    columns = reading.text or task.target.texts
    if (len(columns) == 2) != model.pair:
        wanted = "pairs of texts. Give --text twice" if model.pair else "one text. Give --text once"
        raise ValueError(
            f"The model reads {wanted}. Received: {' '.join(f'--text {name}' for name in columns)}"
        )
    try:
        return reading.read(data, target=task.target)
    except ValueError as error:
        raise ValueError(f"{error}. {own}") from error
