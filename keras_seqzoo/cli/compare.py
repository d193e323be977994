"""`keras-seqzoo compare`: several models on one table, what each costs, and which to take."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keras_seqzoo import zoo
from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import problem, say
from keras_seqzoo.files import check_page_path
from keras_seqzoo.names import last_part
from keras_seqzoo.options import options_of

if TYPE_CHECKING:
    from keras_seqzoo.comparison.comparison import Comparison

TRAINING = "How the models are trained"
CHOICE = "Which model to take"


@o.reads("stream")
def compare_command(
    data: o.Data,
    reading: o.Reading,
    models: Annotated[
        list[str],
        typer.Option(
            "--models",
            "-m",
            help="Names of `list`, handles or folders, with commas between; LABEL=NAME names one.",
        ),
    ],
    report: Annotated[
        Path | None, typer.Option(help="Write the report, one HTML file that needs no network.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder for the report and its figures as CSV, JSON, PNG.")
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Folder of all results; comparisons/<name>-<digest of the rows> by default."
        ),
    ] = None,
    valid_data: o.ValidData = None,
    test_data: o.TestData = None,
    valid: o.ValidShare = 0.1,
    test: o.TestShare = 0.1,
    split_seed: Annotated[int, typer.Option(help="Random seed of the split.")] = 0,
    seeds: Annotated[
        str,
        typer.Option(
            help="Number of trainings for each model, or the seeds: 0,1.", rich_help_panel=TRAINING
        ),
    ] = "3",
    budget: Annotated[
        str | None,
        typer.Option(help="Time limit of one training: 10min, 90s.", rich_help_panel=TRAINING),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="10 by default, or 3 if the learning rate falls to zero; more for few rows.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="32 by default, or 8 below 1,000 rows.", rich_help_panel=TRAINING),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Epochs without a better validation figure before stopping, with a constant "
            "learning rate; 2 by "
            "default, more for few rows.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="'val_loss', 'val_calibrated_loss' or 'val_accuracy': the figure that chooses "
            "the epoch. By default the calibrated loss for classes, and the last epoch if "
            "the learning rate falls to zero.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(
            help="Trainings of a search for options, for each model.", rich_help_panel=TRAINING
        ),
    ] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-o",
            metavar="LABEL.NAME=VALUE",
            help="An option of one model, such as lstm.units=128; also epochs, batch_size, "
            "learning_rate, search. `keras-seqzoo list NAME` shows those of a model.",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    explain: Annotated[int, typer.Option(help="Mistakes to explain for each model.")] = 5,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(
            help="Limit for the 95th percentile of the time for one text.", rich_help_panel=CHOICE
        ),
    ] = None,
    max_size_mb: Annotated[
        float | None,
        typer.Option(help="Limit for the size of the SavedModel.", rich_help_panel=CHOICE),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Metric of the choice: macro_f1, accuracy, mae, …; by default the one that sorts "
            "the table.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    output: Annotated[str, typer.Option("--format", help="'table', 'csv' or 'json'.")] = "table",
    quiet: o.Quiet = False,
) -> None:
    """Train several models on a table, measure their quality and cost, and choose one.

    Each model is trained in its own process. After an interruption, the same command continues.
    """
    if output not in ("table", "csv", "json"):
        raise ValueError(f"--format must be 'table', 'csv' or 'json'. Received: {output!r}")
    from keras_seqzoo.comparison.candidates import parse_candidates
    from keras_seqzoo.comparison.compare import compare
    from keras_seqzoo.comparison.comparison import Comparison
    from keras_seqzoo.comparison.store import PARTS, default_folder
    from keras_seqzoo.tasks import task_for

    chosen = parse_models(models, option or [])
    parse_candidates(chosen)
    if report is not None:
        check_page_path(report)
    if save is not None:
        check_page_path(save / "report.html")
    o.target_for(reading.task, reading.target, reading.is_series)
    if reading.is_running:
        raise ValueError(
            "A comparison needs labelled rows, and running text has no labels. "
            f"Take another --task. Received: --task {reading.task}"
        )
    say(f"Reading {data}", quiet)
    parts = reading.read_parts(
        data,
        valid_data,
        test_data,
        valid,
        test,
        split_seed,
        _in_memory,
    )
    task_for(parts[0]).metric(metric)
    path = folder or default_folder(
        Path(parts[0].source).name, dict(zip(PARTS, parts, strict=True))
    )
    try:
        comparison = compare(
            chosen,
            *parts,
            seeds=_seeds(seeds),
            budget=budget,
            epochs=epochs,
            batch_size=batch_size,
            patience=patience,
            trials=trials,
            explain=explain,
            keep=keep,
            folder=path,
            progress=not quiet,
            command=shlex.join(["keras-seqzoo", *sys.argv[1:]]),
        )
    except KeyboardInterrupt:
        if (path / "comparison.json").exists():
            _finish(Comparison(path), output, report, save, quiet)
        problem("Interrupted. What was done is kept: the same command continues from here.")
        sys.exit(130)
    _finish(comparison, output, report, save, quiet)
    if output == "table":
        _recommend(comparison, max_latency_ms, max_size_mb, metric)
    if not any(e.runs for e in comparison.results.entries if not e.is_baseline):
        raise ValueError("No model could be trained; see above. Received: 0 trained models")


def parse_models(given: Sequence[str], options: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Reads `--models` and `--option`: models with their options, by label.

    Raises:
        ValueError: a label twice, or an option of a model that is not compared.
    """
    from keras_seqzoo.comparison.candidates import Candidate

    models: dict[str, dict[str, Any]] = {}
    given_options: dict[str, list[str]] = {}
    for item in (part.strip() for value in given for part in value.split(",")):
        label, equals, name = item.partition("=")
        if not item or (equals and not (label and name)):
            raise ValueError(f"--models takes NAME or LABEL=NAME. Received: {item!r}")
        name = name if equals else item
        label = label if equals else last_part(name)
        if label in models:
            raise ValueError(
                "A model can be compared once, or under two labels: --models a=lstm,b=lstm. "
                f"Received: {label!r} twice"
            )
        models[label] = {"model": name}
    for assignment in options:
        place, _, value = assignment.partition("=")
        # A label may have a dot in it, a name has none.
        label, dot, name = place.rpartition(".")
        if not dot or label not in models:
            raise ValueError(
                f"--option takes LABEL.NAME=VALUE, LABEL being one of {list(models)}. "
                f"Received: {assignment!r}"
            )
        given_options.setdefault(label, []).append(f"{name}={value}")
    for label, assignments in given_options.items():
        known = options_of(Candidate) | zoo.find_model(models[label]["model"]).options
        models[label] |= o.parse_assignments(assignments, "--option", known, f"{label}.")
    return models


def _in_memory(table: Any) -> Any:
    from keras_seqzoo.data.stream import TextStream

    if isinstance(table, TextStream):
        raise ValueError(
            "A comparison keeps its rows in memory, and a pattern is streamed. Name one file. "
            f"Received: {table!r}"
        )
    return table


def _finish(
    comparison: Comparison, output: str, report: Path | None, save: Path | None, quiet: bool
) -> None:
    if output == "csv":
        typer.echo(comparison.table.to_csv(), nl=False)
    elif output == "json":
        rows: Mapping[str, Any] = json.loads(comparison.table.to_json(orient="index"))
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        typer.echo(str(comparison))
    if report is not None:
        say(f"Writing the report to {report}", quiet)
        comparison.to_html(report)
    if save is not None:
        say(f"Writing the report and its figures to {save}", quiet)
        comparison.save(save)


def _recommend(
    comparison: Comparison,
    max_latency_ms: float | None,
    max_size_mb: float | None,
    metric: str | None,
) -> None:
    chosen = comparison.recommend(
        max_latency_ms=max_latency_ms, max_size_mb=max_size_mb, metric=metric
    )
    typer.echo(f"\nTake {chosen}")
    entry = next(e for e in comparison.results.entries if e.label == chosen.model)
    if not entry.is_baseline:
        typer.echo(f"SavedModel   {comparison.saved_model(chosen.model)}")
        typer.echo(f"Keras model  {comparison.file(chosen.model)}")


def _seeds(given: str) -> int | list[int]:
    try:
        numbers = [int(part) for part in given.split(",")]
    except ValueError as error:
        raise ValueError(
            "--seeds takes a number of seeds, or the seeds separated by commas: 3, or 0,1,2. "
            f"Received: {given!r}"
        ) from error
    return numbers[0] if "," not in given else numbers
