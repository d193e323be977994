"""Options that several commands share, and how a table is read with them."""

from __future__ import annotations

import ast
import atexit
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from keras_seqzoo.options import Option, options_of
from keras_seqzoo.tasks import TASK_OF_TARGET

READING = "How the table is read"

Data = Annotated[
    str,
    typer.Argument(
        help="CSV, TSV, JSON lines or Parquet; a glob is streamed, - is standard input."
    ),
]
Text = Annotated[
    list[str],
    typer.Option(
        "--text", help="Column of the texts; given twice for pairs.", rich_help_panel=READING
    ),
]
TEXT = ["text"]
Label = Annotated[
    list[str],
    typer.Option(
        "--label",
        help="Column of the labels; once each for columns of 0 and 1, or of numbers.",
        rich_help_panel=READING,
    ),
]
LABEL = ["label"]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        help="'class', 'labels' (several a text) or 'number'; as the labels look by default.",
        rich_help_panel=READING,
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="'classify', 'label' (several labels a text) or 'regress' (numbers); by default what "
        "the target is for.",
        rich_help_panel=READING,
    ),
]
LabelSeparator = Annotated[
    str | None,
    typer.Option(
        "--label-sep",
        help="What stands between several labels in one column, such as ','.",
        rich_help_panel=READING,
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        help="Column names, comma-separated, of a file without a header.", rich_help_panel=READING
    ),
]
Separator = Annotated[
    str | None,
    typer.Option("--sep", help=r"Separator, such as ';' or '\t'.", rich_help_panel=READING),
]
Quoting = Annotated[
    str | None,
    typer.Option(
        help="'minimal' (default) or 'none', where quotes are text.", rich_help_panel=READING
    ),
]
Encoding = Annotated[str | None, typer.Option(help="Detected by default.", rich_help_panel=READING)]
Missing = Annotated[
    str,
    typer.Option(
        "--na", help="'error' or 'drop' rows that lack a text or label.", rich_help_panel=READING
    ),
]
Stream = Annotated[
    bool, typer.Option("--stream", help="Read a file larger than memory.", rich_help_panel=READING)
]
ReadOption = Annotated[
    list[str] | None,
    typer.Option(
        "--read",
        metavar="NAME=VALUE",
        help="Any further option of pandas.",
        rich_help_panel=READING,
    ),
]
ValidData = Annotated[str | None, typer.Option(help="A table to validate on.")]
TestData = Annotated[str | None, typer.Option(help="A table to test on.")]
ValidShare = Annotated[float, typer.Option(help="Share of DATA to validate on.")]
TestShare = Annotated[float, typer.Option(help="Share of DATA to test on.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Texts a batch.")]
AllowChanges = Annotated[
    bool,
    typer.Option(
        "--allow-changes",
        help="Let a new version answer otherwise than the one whose place it takes.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Load a .keras file that holds a TF Hub graph: it is a program."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]

# What a table of texts has the answers for; others are of series, or have no truth.
TARGET_OF_TASK = {name: kind for kind, name in TASK_OF_TARGET.items() if kind != "future"}

_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclass
class Reading:
    """How the user wants tables to be read."""

    text: str | Sequence[str] | None
    label: Sequence[str] | None
    names: str | None = None
    separator: str | None = None
    quoting: str | None = None
    encoding: str | None = None
    missing: str = "error"
    stream: bool = False
    further: list[str] | None = None
    target: str | None = None
    label_separator: str | None = None

    @property
    def describes_table(self) -> bool:
        """Whether there is an option that only a table has."""
        given = (self.names, self.separator, self.quoting, self.further)
        return any(value is not None for value in given) or self.stream or self.missing != "error"

    def read(
        self,
        source: str,
        classes: Sequence[str] | None = None,
        stream: bool = False,
        target: Any = None,
    ) -> Any:
        """Reads a table.

        Args:
            source: path or glob; `-` for standard input.
            classes: class names to hold to, those of a model or of the training table.
            stream: whether it is streamed even if the user does not ask for it.
            target: that of a model or of the training table to hold to, in place of `classes`.

        Returns:
            A `TextTable`, or a `TextStream` where it is streamed.

        Raises:
            ValueError: an option that is not understood, or whatever is wrong with the table.
        """
        import pandas as pd

        from keras_seqzoo.data.reading import QUOTING
        from keras_seqzoo.data.table import read_table

        known = options_of(pd.read_json) | options_of(pd.read_csv)
        options: dict[str, Any] = parse_assignments(self.further or [], "--read", known)
        if self.names is not None:
            options["names"] = [name.strip() for name in self.names.split(",")]
        if self.separator is not None:
            options["sep"] = self.separator.replace("\\t", "\t")
        if self.quoting is not None:
            if self.quoting not in QUOTING:  # a constant of `csv` is for Python alone
                raise ValueError(
                    f"--quoting must be one of {sorted(QUOTING)}. Received: {self.quoting!r}"
                )
            options["quoting"] = self.quoting
        return read_table(
            _file_of(source, self.names),
            text=_one_or_several(self.text or TEXT),
            label=None if self.label is None else _one_or_several(self.label),
            target=target or self.target,
            label_sep=self.label_separator,
            classes=classes,
            na=self.missing,
            encoding=self.encoding,
            stream=self.stream or stream,
            **options,
        )

    def read_parts(
        self,
        source: str,
        valid_source: str | None,
        test_source: str | None,
        valid: float,
        test: float,
        seed: int,
        prepare: Callable[[Any], Any] = lambda table: table,
    ) -> tuple[Any, Any, Any]:
        """Reads the rows to train, to validate and to test on.

        Args:
            source: path or glob of a table; what is not read from elsewhere is split off it.
            valid_source: that of the rows to validate on.
            test_source: that of the rows to test on.
            valid: share to validate on, without a source.
            test: share to test on, without a source.
            seed: of the split.
            prepare: what is done to the table before it is split.

        Returns:
            Tables or streams, with the target of the first.

        Raises:
            ValueError: whatever is wrong with a table, or with the split.
        """
        whole = prepare(self.read(source))
        train, valid_table, test_table = whole.split(
            valid=0 if valid_source else valid, test=0 if test_source else test, seed=seed
        )
        if valid_source:
            valid_table = self.read(valid_source, target=whole.target)
        if test_source:
            test_table = self.read(test_source, target=whole.target)
        return train, valid_table, test_table


def target_for(task: str | None, target: str | None) -> str | None:
    """The target of a table that a task learns; the one that was asked for without a task.

    Raises:
        ValueError: no such task, or one that does not learn the target.
    """
    if task is None:
        return target
    if task not in TARGET_OF_TASK:
        raise ValueError(
            f"--task must be what learns from a table of texts: one of {sorted(TARGET_OF_TASK)}. "
            f"Received: {task!r}"
        )
    if target not in (None, TARGET_OF_TASK[task]):
        raise ValueError(
            f"The task {task!r} learns {TARGET_OF_TASK[task]!r}. Leave --task or --target out. "
            f"Received: --task {task} --target {target}"
        )
    return TARGET_OF_TASK[task]


def _one_or_several(columns: str | Sequence[str]) -> str | Sequence[str]:
    return columns if isinstance(columns, str) or len(columns) > 1 else columns[0]


def _file_of(source: str, names: str | None) -> str:
    """A file of what comes through standard input or another pipe; any other source as it is."""
    path = Path(source)
    if source != "-" and not path.is_fifo() and not path.is_char_device():
        return source
    pipe = sys.stdin.buffer if source == "-" else path.open("rb")
    if pipe.isatty():
        raise ValueError(f"A table comes from a file or a pipe. Received: {source}, a terminal")
    start = pipe.read(1024)
    is_json = names is None and start.lstrip().startswith(b"{")
    kind = "parquet" if start.startswith(b"PAR1") else "jsonl" if is_json else "csv"
    # Tables are read more than once, and a pipe is not.
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = Path(folder, f"stdin.{kind}")
    with file.open("wb") as copy:
        copy.write(start)
        shutil.copyfileobj(pipe, copy)
    return str(file)


def parse_assignments(
    assignments: Sequence[str], option: str, known: Mapping[str, Option], of: str = ""
) -> dict[str, Any]:
    """Parses `name=value` pairs, each value by the types that its name may have.

    Args:
        assignments: what the user gave.
        option: with which option, for messages.
        known: the options there are, for their types. A flag is true, false, yes, no, on, off, 1
            or 0 in any case. What is of other types, or unknown, is a Python literal where it looks
            like one.
        of: what stands before the names, for messages.

    Raises:
        ValueError: no `=` in one of them, a name twice, or a value of another type.
    """
    parsed: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        name = name.replace("-", "_")
        if not equals or not name:
            raise ValueError(f"{option} takes NAME=VALUE. Received: {assignment!r}")
        if name in parsed:
            raise ValueError(
                f"{option} {of}{name}=… sets one value. Give it once. Received: "
                f"{parsed[name]!r} and {value!r}"
            )
        kinds = known[name].types if name in known else frozenset()
        parsed[name] = _parse_value(f"{option} {of}{name}", value, kinds)
    return parsed


def _parse_value(option: str, text: str, kinds: frozenset[str]) -> Any:
    word = text.strip().lower()
    if word == "none" and "None" in kinds:
        return None
    if "bool" in kinds and word in _FLAGS:
        return _FLAGS[word]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    known = kinds - {"None"}
    if known == {"str"}:
        return value if isinstance(value, str) else text
    if known == {"bool"}:
        raise ValueError(f"{option} is true or false. Received: {text!r}")
    if known and known <= {"int", "float"} and type(value) not in (int, float):
        raise ValueError(f"{option} takes a number. Received: {text!r}")
    return value


def default_out(data: str) -> Path:
    """The export folder for a table where the user names none."""
    stem = Path(data).name.split(".")[0]
    return Path("saved_models") / (stem if stem.isidentifier() else "model")
