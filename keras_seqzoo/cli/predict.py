"""`keras-seqzoo predict`: labels and probabilities for texts from anywhere."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len, set_cell_size

from keras_seqzoo.cli import inputs as i
from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, say
from keras_seqzoo.serving.versions import check_model_path

if TYPE_CHECKING:
    import pandas as pd

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


def predict_command(
    model: Annotated[Path, typer.Argument(help="A .keras file or an export folder.")],
    texts: i.Texts = None,
    source: i.Source = None,
    output: Annotated[str, typer.Option("--format", help="'table', 'csv' or 'jsonl'.")] = "table",
    text: i.TextColumn = None,
    names: o.Names = None,
    separator: o.Separator = None,
    quoting: o.Quoting = None,
    encoding: o.Encoding = None,
    missing: o.Missing = "error",
    stream: o.Stream = False,
    read: o.ReadOption = None,
    batch_size: o.BatchSize = 256,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Predict labels for texts: arguments, a file, or standard input.

    Standard input and .txt files are a text a line, or a table where --text names its column.
    CSV and JSON lines keep a table's other columns and the order of its rows.
    """
    if output not in _WRITERS:
        raise ValueError(f"--format must be one of {sorted(_WRITERS)}. Received: {output!r}")
    reading = o.Reading(text, None, names, separator, quoting, encoding, missing, stream, read)
    blocks = i.read_blocks(texts, source, reading, quiet)
    check_model_path(model)
    load_tensorflow()
    from keras_seqzoo.serving.saved import load_predictor

    classifier = load_predictor(model, trust)
    write = _WRITERS[output](classifier.classes, quiet)
    for shown, rows in blocks:
        write(shown, rows, classifier.predict(shown, batch_size=batch_size, verbose=0))
        sys.stdout.flush()


Writer = Callable[[Sequence[str], "pd.DataFrame", Any], None]


def _table_writer(classes: Sequence[str], quiet: bool) -> Writer:
    """Writes lines to be looked at; in a terminal a text ends where the line does."""
    shown_classes = [_one_line(name) for name in classes]
    width = max(map(cell_len, ["label", *shown_classes]))
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    typer.echo(f"{set_cell_size('label', width)}  probability  text")

    def write(texts: Sequence[str], _: pd.DataFrame, probabilities: Any) -> None:
        for text, row in zip(texts, probabilities, strict=True):
            answer = f"{set_cell_size(shown_classes[row.argmax()], width)}  {row.max():<11.4f}  "
            line = _one_line(text)
            room = len(line) * 2 if columns is None else max(0, columns - cell_len(answer))
            if cell_len(line) > room:
                line = set_cell_size(line, room - 1) + "…" if room else ""
            typer.echo((answer + line).rstrip())

    return write


def _one_line(text: str) -> str:
    return _CONTROLS.sub("\ufffd", " ".join(text.split()))


def _csv_writer(classes: Sequence[str], quiet: bool) -> Writer:
    is_first = True

    def write(_: Sequence[str], rows: pd.DataFrame, probabilities: Any) -> None:
        nonlocal is_first
        answers: dict[str, Any] = {
            "label": [classes[place] for place in probabilities.argmax(axis=1)],
            "probability": [f"{p:.6f}" for p in probabilities.max(axis=1)],
        }
        for place, name in enumerate(classes):
            answers[f"p_{name}"] = [f"{p:.6f}" for p in probabilities[:, place]]
        names = _free_names(answers, rows, quiet or not is_first)
        whole = rows.map(_as_json).assign(**{names[name]: answers[name] for name in answers})
        typer.echo(whole.to_csv(index=False, header=is_first), nl=False)
        is_first = False

    return write


def _as_json(value: Any) -> Any:
    """Lists and dicts, which JSON lines may hold, as JSON; all else as it is."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _jsonl_writer(classes: Sequence[str], quiet: bool) -> Writer:
    is_first = True

    def write(_: Sequence[str], rows: pd.DataFrame, probabilities: Any) -> None:
        nonlocal is_first
        names = _free_names(("label", "probability", "probabilities"), rows, quiet or not is_first)
        is_first = False
        given = rows.to_json(orient="records", lines=True, double_precision=15, date_format="iso")
        for line, row in zip(given.splitlines(), probabilities, strict=True):
            by_class = {name: round(float(p), 6) for name, p in zip(classes, row, strict=True)}
            label = classes[row.argmax()]
            answers = (label, by_class[label], by_class)
            record = json.loads(line) | dict(zip(names.values(), answers, strict=True))
            typer.echo(json.dumps(record, ensure_ascii=False))

    return write


def _free_names(names: Any, rows: pd.DataFrame, quiet: bool) -> dict[str, str]:
    """Names for the columns of answers beside those of a table, which keep theirs."""
    free = {}
    for name in names:
        free[name] = name
        while free[name] in rows.columns:
            free[name] = f"predicted_{free[name]}"
        if free[name] != name:
            say(f"The table has a column {name!r}; the answer is in {free[name]!r}", quiet)
    return free


_WRITERS = {"table": _table_writer, "csv": _csv_writer, "jsonl": _jsonl_writer}
