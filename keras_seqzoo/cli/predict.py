"""`keras-seqzoo predict`: what a model answers to texts or pairs of them, or says of series."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.cells import cell_len, set_cell_size

from keras_seqzoo.cli import answered, running, tagged
from keras_seqzoo.cli import inputs as i
from keras_seqzoo.cli import options as o
from keras_seqzoo.cli.console import load_tensorflow, say
from keras_seqzoo.files import whole
from keras_seqzoo.serving.versions import check_model_path
from keras_seqzoo.tasks import BY_NAME

if TYPE_CHECKING:
    import pandas as pd

    from keras_seqzoo.data.series import SeriesTable
    from keras_seqzoo.tasks.base import Task

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")


@o.reads("label", "drop_duplicates", "task", "target", "label_separator")
def predict_command(
    model: Annotated[Path, typer.Argument(help="A .keras file or an export folder.")],
    reading: o.Reading,
    texts: i.Texts = None,
    source: i.Source = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="'table', 'csv', 'jsonl' or, for tags, 'conll'; by default that of --output, or "
            "'table'.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="A .csv or .jsonl file for the rows and their answers, instead of standard "
            "output; it is written completely or not at all.",
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--every",
            help="Forecast from every window, not only from the last one of each series.",
            rich_help_panel=o.SERIES,
        ),
    ] = False,
    batch_size: o.BatchSize = 256,
    trust: o.Trust = False,
    quiet: o.Quiet = False,
) -> None:
    """Ask a model about texts or pairs of texts, or forecast series: arguments or files.

    Standard input and .txt files have one text on each line, or are a table if --text names its
    column. For a model of pairs, two arguments are a pair, a line is two texts separated by a tab,
    and --text is given twice. A question and its context are a pair; SQuAD's JSON has such pairs.
    Answers and tagged pieces are shown within their texts. CSV and JSON lines keep a table's other
    columns and the order of its rows. A model of series forecasts from the end of each series in
    --input, with a row and a time for each step.
    """
    if file is not None:
        output = output or file.suffix[1:].lower()
        if output != file.suffix[1:].lower() or output not in ("csv", "jsonl"):
            raise ValueError(
                "--output is a .csv or .jsonl file, and --format the same. Name such a file, and "
                f"leave --format out. Received: --output {file} --format {output}"
            )
        if not file.parent.is_dir():
            raise FileNotFoundError(
                f"The folder of --output must exist. Make it first. Received: --output {file}"
            )
    output = output or "table"
    known = sorted(set(_WRITERS).union(*_WRITERS_OF.values()))
    if output not in known:
        raise ValueError(f"--format must be one of {known}. Received: {output!r}")
    with _printed_to(file):
        _answer(model, reading, texts, source, output, every, batch_size, trust, quiet)


@contextmanager
def _printed_to(file: Path | None) -> Iterator[None]:
    """Has what is printed stand in a file, which is there when all went well."""
    if file is None:
        yield
        return
    with (
        whole(file) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as opened,
        redirect_stdout(opened),
    ):
        yield


def _answer(
    model: Path,
    reading: o.Reading,
    texts: list[str] | None,
    source: str | None,
    output: str,
    every: bool,
    batch_size: int,
    trust: bool,
    quiet: bool,
) -> None:
    if i.reads_series(model):
        _forecast(model, texts, source, reading, output, batch_size, trust, every)
        return
    if every:
        raise ValueError(
            "--every is only for series. Leave it out. Received: --every, a model of texts"
        )
    blocks = i.read_blocks(texts, source, reading, quiet)
    check_model_path(model)
    load_tensorflow()
    from keras_seqzoo.serving.saved import load_predictor

    predictor = load_predictor(model, trust)
    writers = {**_WRITERS, **_WRITERS_OF.get(predictor.task.name, {})}
    if output not in writers:
        raise ValueError(
            f"--format of the task {predictor.task.name!r} must be one of {sorted(writers)}. "
            f"Received: {output!r}"
        )
    write = writers[output](predictor.task, quiet)
    for asked, rows in i.for_model(blocks, predictor, texts, source, reading):
        write(asked, rows, predictor.predict(asked, batch_size=batch_size, verbose=0))
        sys.stdout.flush()


def _forecast(
    model: Path,
    texts: list[str] | None,
    source: str | None,
    reading: o.Reading,
    output: str,
    batch_size: int,
    trust: bool,
    every: bool,
) -> None:
    if texts:
        raise ValueError(
            "The model reads windows of a series. Pass the series as a file with --input. "
            "Received: texts as arguments"
        )
    load_tensorflow()
    import pandas as pd

    from keras_seqzoo.serving.protocol import shorten
    from keras_seqzoo.serving.saved import load_predictor

    predictor = load_predictor(model, trust)
    table = i.read_windows(reading, source or "-", predictor, asked=False)
    table = table if every else table.last_windows()
    outputs = predictor.predict(table, batch_size=batch_size, verbose=0)
    task: Any = predictor.task
    is_forecast = task.target.kind == "future"
    rows = _rows_of(table, table.label_times if is_forecast else table.label_times[:, -1:])
    if is_forecast:
        values = shorten(np.asarray(outputs, np.float32)).reshape(len(rows), -1)
        rows = rows.assign(**dict(zip(task.names, values.T, strict=True)))
    elif output != "table":
        _WRITERS[output](task, True)((), rows, outputs)
        return
    else:
        rows = rows.join(pd.DataFrame([_flat(told, task) for told in task.decode(outputs)]))
    if output == "csv":
        typer.echo(rows.to_csv(index=False), nl=False)
    elif output == "jsonl":
        for record in rows.to_dict("records"):
            typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        typer.echo(rows.to_string(index=False))


def _rows_of(table: SeriesTable, times: npt.NDArray[Any]) -> pd.DataFrame:
    """What a forecast is of: columns `key` (of several series), `after` and `time`, a row a time.

    Args:
        table: the windows, whose last time is `after`.
        times: `(rows, steps)`.
    """
    import pandas as pd

    steps = times.shape[1]
    keys = {"key": np.repeat(table.keys, steps)} if any(table.keys) else {}
    after = _as_text(np.repeat(table.times, steps))
    return pd.DataFrame({**keys, "after": after, "time": _as_text(times.ravel())})


def _as_text(times: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Dates, or dates and times where one of them is not midnight; numbers as they are."""
    import pandas as pd

    if times.dtype.kind != "M":
        return times
    stamps = pd.DatetimeIndex(times)
    is_day = (stamps == stamps.normalize()).all()
    return stamps.strftime("%Y-%m-%d" if is_day else "%Y-%m-%d %H:%M:%S").to_numpy(object)


Writer = Callable[[Sequence[Any], "pd.DataFrame", Any], None]


def _plain(told: dict[str, Any], task: Task) -> dict[str, Any]:
    """What a task answers to a row, with numbers as they are shown and lists of them by name."""

    def number(key: str, value: float) -> float:
        return round(value, 6) if key.startswith("probabilit") else float(str(np.float32(value)))

    plain: dict[str, Any] = {}
    for key, value in told.items():
        if isinstance(value, float):
            plain[key] = number(key, value)
        elif key in BY_NAME:
            plain[key] = {n: number(key, v) for n, v in zip(task.names, value, strict=True)}
        elif key in _IN_ROWS:
            plain[key] = [
                [_plain(two, task) for two in one] if isinstance(one, list) else _plain(one, task)
                for one in value
            ]
        else:
            plain[key] = value
    return plain


# What a task answers as a list of dicts.
_IN_ROWS = (
    "masks",
    "spans",
)


def _table_writer(task: Task, quiet: bool) -> Writer:
    """Writes lines to be looked at; in a terminal a text ends where the line does."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    widths: dict[str, int] = {}

    def cells(told: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = {}
        for key, value in _plain(told, task).items():
            if isinstance(value, list):
                found[key] = ", ".join(map(_one_line, value))
            elif isinstance(value, str):
                found[key] = _one_line(value)
            elif isinstance(value, float):
                found[key] = f"{value:.4f}"
            elif key != "probabilities":
                found |= {_one_line(name): f"{number:.4f}" for name, number in value.items()}
        return found

    def write(asked: Sequence[Any], _: pd.DataFrame, outputs: Any) -> None:
        rows = [cells(told) for told in task.decode(outputs)]
        if not widths:
            longest = max([0, *(cell_len(_one_line(name)) for name in task.classes)])
            widths.update({key: max(cell_len(key), 6) for key in rows[0]})
            first = next(iter(widths))
            widths[first] = max(widths[first], longest)
            titles = "  ".join(set_cell_size(key, width) for key, width in widths.items())
            is_pair = not isinstance(asked[0], str)
            typer.echo(f"{titles}  {'text | text_pair' if is_pair else 'text'}")
        for text, row in zip(asked, rows, strict=True):
            padded = (
                value + " " * (width - cell_len(value))
                for value, width in zip(row.values(), widths.values(), strict=True)
            )
            answer = "  ".join(padded) + "  "
            line = _one_line(text) if isinstance(text, str) else " | ".join(map(_one_line, text))
            room = len(line) * 2 if columns is None else max(0, columns - cell_len(answer))
            if cell_len(line) > room:
                line = set_cell_size(line, room - 1) + "…" if room else ""
            typer.echo((answer + line).rstrip())

    return write


def _one_line(text: str) -> str:
    return _CONTROLS.sub("\ufffd", " ".join(text.split()))


def _flat(told: dict[str, Any], task: Task) -> dict[str, Any]:
    """What a task answers to a row, as columns."""
    found: dict[str, Any] = {}
    for key, value in task.columns_of(told).items():
        if key in _IN_ROWS:
            found[key] = json.dumps(_plain({key: value}, task)[key], ensure_ascii=False)
        elif isinstance(value, list):
            found[key] = ",".join(value)
        else:
            found[key] = _decimals(key, value) if isinstance(value, float) else value
    return found


def _csv_writer(task: Task, quiet: bool) -> Writer:
    is_first = True

    def write(_: Sequence[Any], rows: pd.DataFrame, outputs: Any) -> None:
        nonlocal is_first
        answers = [_flat(told, task) for told in task.decode(outputs)]
        names = _free_names(answers[0], rows, quiet or not is_first)
        added = {names[key]: [answer[key] for answer in answers] for key in names}
        whole = rows.map(_as_json).assign(**added)
        typer.echo(whole.to_csv(index=False, header=is_first), nl=False)
        is_first = False

    return write


def _decimals(key: str, value: float) -> str:
    is_share = key == "probability" or key.startswith("p_")
    return f"{value:.6f}" if is_share else f"{float(str(np.float32(value)))!r}"


def _as_json(value: Any) -> Any:
    """Lists and dicts, which JSON lines may hold, as JSON; all else as it is."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _jsonl_writer(task: Task, quiet: bool) -> Writer:
    is_first = True

    def write(_: Sequence[Any], rows: pd.DataFrame, outputs: Any) -> None:
        nonlocal is_first
        answers = [_plain(told, task) for told in task.decode(outputs)]
        names = _free_names(answers[0], rows, quiet or not is_first)
        is_first = False
        given = rows.to_json(orient="records", lines=True, double_precision=15, date_format="iso")
        for line, answer in zip(given.splitlines(), answers, strict=True):
            record = json.loads(line) | {names[key]: value for key, value in answer.items()}
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
# What a task has in their place, or beside them.
_WRITERS_OF = {
    "answer": answered.WRITERS,
    "fill_mask": running.WRITERS,
    "tag": tagged.WRITERS,
}
