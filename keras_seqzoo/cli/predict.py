"""`keras-seqzoo predict`: labels and probabilities for texts from anywhere."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, results, say
from keras_seqzoo.encoders.parts import text_chunks
from keras_seqzoo.serving.versions import check_model_path

_CHUNK = 2048


def predict_command(
    model: Annotated[Path, typer.Argument(help="A .keras file or an export folder.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; by default stdin.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", help="A .txt file with a text a line, a table, or '-' for stdin."
        ),
    ] = None,
    output: Annotated[str, typer.Option("--format", help="'table', 'csv' or 'jsonl'.")] = "table",
    text: o.Text = "text",
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
    """Predict labels for texts: arguments, a file, or lines of standard input."""
    if output not in _WRITERS:
        raise ValueError(f"--format must be one of {sorted(_WRITERS)}. Received: {output!r}")
    if texts and source is not None:
        raise ValueError("Pass texts or --input, not both. Received: both")
    check_model_path(model)
    reading = o.Reading(text, None, names, separator, quoting, encoding, missing, stream, read)
    chunks = iter([list(texts)]) if texts else read_chunks(source or "-", reading, quiet)
    load_tensorflow()
    from keras_seqzoo.serving.saved import load_classifier

    classifier = load_classifier(model, trust)
    write = _WRITERS[output]
    for number, chunk in enumerate(chunks):
        probabilities = classifier.predict(chunk, batch_size=batch_size, verbose=0)
        shown = [t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in chunk]
        write(shown, probabilities, classifier.classes, number == 0)
        sys.stdout.flush()


def read_chunks(source: str, reading: o.Reading, quiet: bool) -> Iterator[Sequence[Any]]:
    """Yields the texts of a table, of a `.txt` file or of stdin (`"-"`), some at a time."""
    if source == "-":
        if sys.stdin.isatty():
            say("Type a text a line; end with Ctrl-D.", quiet)
        yield from _lines(sys.stdin.buffer)
    elif Path(source).suffix == ".txt":
        with Path(source).open("rb") as file:
            yield from _lines(file)
    else:
        yield from text_chunks(reading.read(source), _CHUNK)


def _lines(file: Any) -> Iterator[list[bytes]]:
    # From a terminal, each line is answered as it comes.
    size = 1 if file.isatty() else _CHUNK
    lines = (line.rstrip(b"\r\n") for line in file)
    while chunk := list(islice(lines, size)):
        yield chunk


def _write_table(texts: list[str], probabilities: Any, classes: Sequence[str], _: bool) -> None:
    from rich.table import Table

    table = Table("label", "probability", "text", box=None, show_header=True, pad_edge=False)
    table.columns[2].no_wrap = True
    for row, shown in zip(probabilities, texts, strict=True):
        line = " ".join(shown.split())
        table.add_row(classes[row.argmax()], f"{row.max():.4f}", _plain(line))
    width = results.width if results.is_terminal else 120
    results.print(table, width=max(width, 60), soft_wrap=False)


def _plain(text: str) -> Any:
    from rich.text import Text

    return Text(text)


def _write_csv(texts: list[str], probabilities: Any, classes: Sequence[str], first: bool) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if first:
        writer.writerow(["text", "label", "probability", *(f"p_{name}" for name in classes)])
    for shown, row in zip(texts, probabilities, strict=True):
        figures = [f"{p:.6f}" for p in row]
        writer.writerow([shown, classes[row.argmax()], f"{row.max():.6f}", *figures])
    typer.echo(out.getvalue(), nl=False)


def _write_jsonl(texts: list[str], probabilities: Any, classes: Sequence[str], _: bool) -> None:
    for shown, row in zip(texts, probabilities, strict=True):
        by_class = {name: round(float(p), 6) for name, p in zip(classes, row, strict=True)}
        label = classes[row.argmax()]
        answer = {
            "text": shown,
            "label": label,
            "probability": by_class[label],
            "probabilities": by_class,
        }
        typer.echo(json.dumps(answer, ensure_ascii=False))


_WRITERS = {"table": _write_table, "csv": _write_csv, "jsonl": _write_jsonl}
