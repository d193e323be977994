"""Options that several commands share, and how a table or series is read with them."""

from __future__ import annotations

import ast
import csv
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from keras_seqzoo.cli import running
from keras_seqzoo.options import Option, options_of
from keras_seqzoo.tasks import TASK_OF_TARGET

if TYPE_CHECKING:
    from keras_seqzoo.data.series import SeriesTable

READING = "How the table is read"
SERIES = "How series of numbers are read, in place of texts"

Data = Annotated[
    str,
    typer.Argument(
        help="CSV, TSV, JSON lines, Parquet, Excel, one of these zipped, or a folder with a "
        "folder of .txt files for each class; for tags also columns of words (.conll), for "
        "answers SQuAD's JSON. A glob is streamed; - is standard input."
    ),
]
ValidData = Annotated[str | None, typer.Option(help="A table to validate on.")]
TestData = Annotated[str | None, typer.Option(help="A table to test on.")]
ValidShare = Annotated[float, typer.Option(help="Share of DATA to validate on.")]
TestShare = Annotated[float, typer.Option(help="Share of DATA to test on.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Texts in each batch.")]
AllowChanges = Annotated[
    bool,
    typer.Option(
        "--allow-changes",
        help="Let a new version have other outputs than the one that it replaces.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Load a .keras file that holds a TF Hub graph: it is a program."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]

# What the rows of a table are to be answered, by what learns it.
TARGET_OF_TASK = {name: kind for kind, name in TASK_OF_TARGET.items()}
_OF_SERIES = ("future", "direction")
# What learns from texts alone.
OF_RUNNING_TEXT = ("fill_mask",)
TEXT, LABEL = ["text"], ["label"]

_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


def _table(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=READING, **more)


def _series(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=SERIES, **more)


@dataclass
class Reading:
    """How the user wants tables or series to be read: options that `reads` gives to a command."""

    text: Annotated[
        list[str] | None,
        _table(
            "Column of the texts, 'text' by default; title,body for columns that are joined (a "
            "name with a comma in double quotes); given twice for pairs. For answers 'question' "
            "and 'context'.",
            "--text",
        ),
    ] = None
    label: Annotated[
        list[str] | None,
        _table(
            "Column of the labels; once each for columns of 0 and 1, or of numbers. For answers "
            "'answer', and a second time 'start' for their first characters.",
            "--label",
        ),
    ] = field(default_factory=lambda: LABEL)
    task: Annotated[
        str | None,
        _table(
            "'classify', 'label' (several labels for each text), 'regress' (numbers), 'tag' "
            "(pieces of "
            "texts), 'answer' (questions about contexts), 'forecast' (of series) or 'fill_mask' "
            "(masked language models, of a .txt file or a table's texts); by default the task of "
            "the target."
        ),
    ] = None
    target: Annotated[
        str | None,
        _table(
            "'class', 'labels' (several for each text), 'number', 'tags' or 'answer', by default "
            "found from the labels; for series 'future' (default) or 'direction' (up or down)."
        ),
    ] = None
    label_separator: Annotated[
        str | None,
        _table("Separator of several labels in one column, such as ','.", "--label-sep"),
    ] = None
    names: Annotated[
        str | None, _table("Column names, comma-separated, of a file without a header.")
    ] = None
    separator: Annotated[str | None, _table(r"Separator, such as ';' or '\t'.", "--sep")] = None
    quoting: Annotated[
        str | None, _table("'minimal' (default), or 'none' if quotes are part of the texts.")
    ] = None
    encoding: Annotated[str | None, _table("Codec of a text file; detected by default.")] = None
    missing: Annotated[
        str,
        _table(
            "'error' or 'drop' rows that lack a text or label, and answers not in their context.",
            "--na",
        ),
    ] = "error"
    drop_duplicates: Annotated[
        bool, _table("Keep one row of each text, before a split.", "--drop-duplicates")
    ] = False
    stream: Annotated[bool, _table("Read a file larger than memory.", "--stream")] = False
    further: Annotated[
        list[str] | None,
        _table("Any further option of pandas.", "--read", metavar="NAME=VALUE"),
    ] = None
    time: Annotated[
        str | None, _series("Column of the times, 'Date' by default. Makes DATA a series.")
    ] = None
    value: Annotated[
        list[str] | None,
        _series("Column of numbers, 'Close' or the model's by default; may be repeated."),
    ] = None
    window: Annotated[
        int | None, _series("Steps that the model reads; 60, or the model's, by default.", min=1)
    ] = None
    horizon: Annotated[
        int | None,
        _series("Steps after them to predict; 5, or the model's, by default.", min=1),
    ] = None
    key: Annotated[str | None, _series("Column that names the series, if a file has several.")] = (
        None
    )
    gaps: Annotated[
        str | None,
        _series(
            "What to do if times are missing: 'error' (default), 'fill' with missing values, or "
            "'join', such as for trading days."
        ),
    ] = None
    carry: Annotated[
        int | None,
        _series(
            "Most missing values in a row to replace by the last known one; 3 by default.", min=0
        ),
    ] = None
    time_format: Annotated[
        str | None,
        _series("Format of the times, such as '%d.%m.%Y'; detected by default.", "--time-format"),
    ] = None

    @property
    def describes_table(self) -> bool:
        """Whether there is an option that only a table has."""
        given = (self.names, self.separator, self.quoting, self.further)
        return any(value is not None for value in given) or self.stream or self.missing != "error"

    @property
    def of_series(self) -> dict[str, Any]:
        """The options given that only series have, as `read_series` takes them."""
        names = ("time", "value", "window", "horizon", "key", "gaps", "carry", "time_format")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}

    @property
    def of_texts(self) -> list[str]:
        """The options given that only texts have."""
        given = {
            "--text": self.text is not None,
            "--label": self.label not in (None, LABEL),
            "--label-sep": self.label_separator is not None,
            "--na": self.missing != "error",
            "--drop-duplicates": self.drop_duplicates,
            "--stream": self.stream,
        }
        return [name for name, is_given in given.items() if is_given]

    def told(self) -> list[str]:
        """What one types to read another file of the same series with its model."""
        names = ("time", "key", "gaps", "carry", "time_format")
        given = {n: v for n, v in self.of_series.items() if n in names}
        return [word for n, v in given.items() for word in (f"--{n.replace('_', '-')}", str(v))]

    @property
    def is_running(self) -> bool:
        """Whether texts alone are to be read, or a text."""
        return self.task in OF_RUNNING_TEXT

    @property
    def is_series(self) -> bool:
        """Whether a series is to be read.

        Raises:
            ValueError: options of both series and texts.
        """
        asked = self.of_series or self.task == "forecast" or self.target in _OF_SERIES
        if asked and (given := self.of_texts):
            words = [f"--{name.replace('_', '-')}" for name in self.of_series] or [
                f"--target {self.target}" if self.target in _OF_SERIES else "--task forecast"
            ]
            raise ValueError(
                "A table has texts and labels, or it is a series with a time and values. Leave "
                f"the options for one of the two out. Received: {', '.join(given)} and "
                f"{', '.join(words)}"
            )
        return bool(asked)

    def read(
        self,
        source: str,
        classes: Sequence[str] | None = None,
        stream: bool = False,
        target: Any = None,
    ) -> Any:
        """Reads a table, or a series where the options are of one.

        Args:
            source: path or glob; `-` for standard input.
            classes: class names to hold to, those of a model or of the training table.
            stream: whether it is streamed even if the user does not ask for it.
            target: that of a model or of the training table to hold to, in place of `classes`.

        Returns:
            A `TextTable`, or a `TextStream` where it is streamed; or a `SeriesTable`.

        Raises:
            ValueError: an option that is not understood, a source with several parts, or whatever
                is wrong with the table.
        """
        table = self._read(source, classes, stream, target)
        if isinstance(table, dict):
            raise ValueError(
                "This command reads one table, not the parts of a split. Pass the folder of one "
                "part. "
                f"Received: {source!r} with the parts {', '.join(table)}"
            )
        return table

    def _read(
        self,
        source: str,
        classes: Sequence[str] | None = None,
        stream: bool = False,
        target: Any = None,
    ) -> Any:
        """As `read`; `TableParts` of a folder with a folder a part."""
        from keras_seqzoo.data.table import read_table

        asked = target_for(self.task, self.target, self.is_series)
        if self.is_series:
            return self.read_series(source, asked or "future")
        is_unlabelled = self.label is None or self.is_running
        return read_table(
            source,
            text=_one_or_several(tuple(map(_column_or_joined, self.text or TEXT))),
            label=None if is_unlabelled else _one_or_several(self.label or LABEL),
            target=target or asked,
            label_sep=self.label_separator,
            classes=classes,
            na=self.missing,
            encoding=self.encoding,
            stream=self.stream or stream,
            **self._of_pandas(),
        )

    def read_series(self, source: str, target: str | None, **given: Any) -> SeriesTable:
        """Reads series.

        Args:
            source: as in `read`.
            target: as in `data.series.read_series`.
            **given: arguments of that, in place of the user's options.
        """
        from keras_seqzoo.data.series import read_series

        options = {**self.of_series, **given, **self._of_pandas()}
        return read_series(source, target=target, encoding=self.encoding, **options)

    def _of_pandas(self) -> dict[str, Any]:
        import pandas as pd

        from keras_seqzoo.data.reading import QUOTING

        known = options_of(pd.read_excel) | options_of(pd.read_json) | options_of(pd.read_csv)
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
        return options

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
        if self.is_running and self.text is None and Path(source).suffix == ".txt":
            return running.text_parts(source, valid_source, test_source, valid, test)
        whole = prepare(self._read(source))
        if self.drop_duplicates:
            if not hasattr(whole, "drop_duplicates"):
                raise ValueError(
                    "Duplicates can be found only in memory. Leave --drop-duplicates out, or "
                    f"read one file without --stream. Received: {whole!r}"
                )
            whole = whole.drop_duplicates()
        drawn = {} if self.is_series else {"seed": seed}  # series are split in the order of time
        train, valid_table, test_table = whole.split(
            valid=0 if valid_source else valid, test=0 if test_source else test, **drawn
        )
        if valid_source:
            valid_table = self.read(valid_source, target=train.target)
        if test_source:
            test_table = self.read(test_source, target=train.target)
        return train, valid_table, test_table


def reads(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of `Reading`, which it takes together as `reading`.

    Args:
        left_out: fields that the command does not have; its labels are None without `label`.
    """
    hints = get_type_hints(Reading, include_extras=True)
    plain: dict[str, Any] = {"label": None} if "label" in left_out else {}
    options = [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=f.default if f.default is not MISSING else LABEL,
            annotation=hints[f.name],
        )
        for f in fields(Reading)
        if f.name not in left_out
    ]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters.values()

        @wraps(function)
        def command(**given: Any) -> None:
            read = {option.name: given.pop(option.name) for option in options}
            function(reading=Reading(**plain, **read), **given)

        parameters = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in own
            for one in (options if parameter.name == "reading" else [parameter])
        ]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters}
        return command

    return decorate


def target_for(task: str | None, target: str | None, is_series: bool = False) -> str | None:
    """The target of a table that a task learns; the one that was asked for without a task.

    Raises:
        ValueError: no such task, or one that does not learn the target.
    """
    if is_series and (task not in (None, "forecast", "classify") or
                      target not in (None, *_OF_SERIES)):  # fmt: skip
        raise ValueError(
            "A series is either forecast, --task forecast, or its direction is classified, "
            "--target direction. "
            f"Received: --task {task}" + f" --target {target}" * (target is not None)
        )
    if task is None:
        return target
    if task in OF_RUNNING_TEXT and target is None:
        return None
    if task not in TARGET_OF_TASK:
        known = sorted({*TARGET_OF_TASK, *OF_RUNNING_TEXT} - ({task} if target else set()))
        raise ValueError(
            f"--task must be a task that learns from a table: one of {known}. Received: {task!r}"
            + f" with --target {target}" * (target is not None)
        )
    learnt = "direction" if is_series and task == "classify" else TARGET_OF_TASK[task]
    if target not in (None, learnt):
        raise ValueError(
            f"The task {task!r} learns {learnt!r}. Leave --task or --target out. "
            f"Received: --task {task} --target {target}"
        )
    return learnt


def _column_or_joined(text: str) -> str | list[str]:
    """A column, or with commas between several that are joined; quotes keep commas in a name."""
    [names] = csv.reader([text], skipinitialspace=True)
    return names[0] if len(names) == 1 else names


def _one_or_several(columns: Sequence[Any]) -> Any:
    return columns if len(columns) > 1 else columns[0]


def parse_assignments(
    assignments: Sequence[str], option: str, known: Mapping[str, Option], of: str = ""
) -> dict[str, Any]:
    """Parses `name=value` pairs, each value by the types that its name may have.

    Args:
        assignments: what the user gave.
        option: with which option, for messages.
        known: the options there are, for their types. A flag is true, false, yes, no, on, off, 1
            or 0 in any case. What is of other types, or unknown, is a Python literal where it looks
            like one, or true or false.
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
    # The options of heads are unknown until TensorFlow is loaded.
    if word in _FLAGS and ("bool" in kinds or (not kinds and word in ("true", "false"))):
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
