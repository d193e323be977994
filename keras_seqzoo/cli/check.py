"""`keras-seqzoo check`: what is likely wrong with a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, results
from keras_seqzoo.serving.versions import check_model_path

_FORMATS = ("text", "json")


@o.reads("drop_duplicates", "task", "target", "label_separator", "stream")
def check_command(
    table: Annotated[str, typer.Argument(help="A table of texts, with or without labels.")],
    reading: o.Reading,
    test: Annotated[
        str | None, typer.Option(help="Another table, which must not hold texts of the first.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="A .keras file or export folder that judges the labels; it must not have been "
            "trained on these rows. By default TF-IDF with logistic regression, cross-validated."
        ),
    ] = None,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", help="The table has no labels: check only its texts.")
    ] = False,
    similarity: Annotated[
        float,
        typer.Option(help="Similarity from which texts count as nearly the same, above 0 to 1."),
    ] = 0.9,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of the folds.")] = 0,
    output: Annotated[str, typer.Option("--format", help="'text' or 'json'.")] = "text",
    trust: o.Trust = False,
) -> None:
    """Look for labels that are doubtful, texts that are nearly the same, and leaks."""
    if output not in _FORMATS:
        raise ValueError(f"--format must be one of {_FORMATS}. Received: {output!r}")
    from keras_seqzoo.evaluation.suspects import suspects

    predictor = None
    if model is not None:
        check_model_path(model)
        load_tensorflow()
        from keras_seqzoo.serving.saved import load_predictor

        predictor = load_predictor(model, trust)
    if no_labels:
        reading = replace(reading, label=None)
    rows = reading.read(table, classes=None if predictor is None else predictor.classes)
    others = None if test is None else reading.read(test, target=rows.target)
    found = suspects(rows, predictor, test=others, folds=folds, similarity=similarity, seed=seed)
    if output == "json":
        typer.echo(json.dumps(found.as_dict(), default=float))
    else:
        results.print(str(found), markup=False, highlight=False, soft_wrap=True)
