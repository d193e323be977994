"""`keras-seqzoo evaluate`: a model's accuracy, F1 and confusion on labelled texts."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, say
from keras_seqzoo.files import check_page_path
from keras_seqzoo.serving.versions import check_model_path


def evaluate_command(
    model: Annotated[Path, typer.Argument(help="A .keras file or an export folder.")],
    data: o.Data,
    text: o.Text = o.TEXT,
    label: o.Label = o.LABEL,
    target: o.Target = None,
    label_separator: o.LabelSeparator = None,
    names: o.Names = None,
    separator: o.Separator = None,
    quoting: o.Quoting = None,
    encoding: o.Encoding = None,
    missing: o.Missing = "error",
    stream: o.Stream = False,
    read: o.ReadOption = None,
    batch_size: o.BatchSize = 256,
    output: Annotated[str, typer.Option("--format", help="'table', 'csv' or 'json'.")] = "table",
    report: Annotated[
        Path | None, typer.Option(metavar="PAGE.HTML", help="Write a page about the model, too.")
    ] = None,
    no_explain: Annotated[
        bool, typer.Option("--no-explain", help="Leave explanations out of the page.")
    ] = False,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Score a model on labelled texts."""
    if output not in ("table", "csv", "json"):
        raise ValueError(f"--format must be 'table', 'csv' or 'json'. Received: {output!r}")
    check_model_path(model)
    reading = o.Reading(
        text,
        label,
        names,
        separator,
        quoting,
        encoding,
        missing,
        stream,
        read,
        target,
        label_separator,
    )
    if report is not None:
        check_page_path(report)
    load_tensorflow()
    from keras_seqzoo.evaluation.report import evaluate
    from keras_seqzoo.serving.saved import load_predictor

    classifier = load_predictor(model, trust)
    table = reading.read(data, classes=classifier.classes)
    say(f"Scoring {len(table):,} texts of {data} with {model}", quiet)
    scores = evaluate(classifier, table, batch_size=batch_size)
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
