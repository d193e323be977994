"""Reads files to pandas frames, a block of rows at a time.

This module knows nothing about labels or splits: `keras_seqzoo.data.rows` checks the rows,
`keras_seqzoo.data.targets` learns the target from their labels.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from pyarrow import parquet

from keras_seqzoo.checks import warn
from keras_seqzoo.data.encoding import COMPRESSIONS, byte_order_mark, choose_encoding, first_lines
from keras_seqzoo.names import suggest

READ_ROWS = 16_384
"""Rows pandas parses at a time. Fixed, so that every pass over a file sees the same blocks."""

QUOTING = {"minimal": csv.QUOTE_MINIMAL, "none": csv.QUOTE_NONE}

_FORMATS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".parquet": "parquet",
    ".xlsx": "excel",
    ".xlsm": "excel",
}
_LARGEST_FIELD = 2**31 - 1

NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def file_format(path: Path) -> str:
    """Returns `"csv"`, `"json"`, `"parquet"` or `"excel"`; an unknown suffix is read as CSV."""
    return _FORMATS.get(data_suffix(path), "csv")


def encoding_of(path: Path, encoding: str | None, options: Mapping[str, Any]) -> str | None:
    """Returns the codec of a text file, like `choose_encoding`; None for other files."""
    if file_format(path) in ("parquet", "excel"):
        return None
    return choose_encoding(path, encoding, options)


def is_known(path: Path) -> bool:
    """Returns whether a file's suffix determines its format."""
    return data_suffix(path) in (*_FORMATS, ".csv", ".tsv", ".tab")


def data_suffix(path: Path) -> str:
    """Returns the suffix of a file before that of its compression, in lower case, or ""."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def pick_column(
    columns: Sequence[Hashable],
    wanted: str | int,
    role: str,
    where: str,
    hint: Callable[[], str] = str,
) -> Hashable:
    """Finds the column for a name or an integer position.

    Args:
        columns: the column names of the file or frame, in order.
        wanted: a name, or a position counted from 0 (from the end if negative).
        role: `"text"` or `"label"`, the argument that `wanted` came from.
        where: the file or frame, for messages.
        hint: a message about what looks wrong with the file, or "".

    Raises:
        ValueError: no such column, or more than one of that name. The message lists the columns
            and says what looks wrong with the header.
    """
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        if not -len(columns) <= wanted < len(columns):
            raise ValueError(
                f"A column position must be below the number of columns. Received: "
                f"{role}={wanted}, {where} with {len(columns)} columns: {shorten(columns)}"
            )
        wanted_name: Hashable = columns[wanted]
    else:
        wanted_name = wanted
    count = list(columns).count(wanted_name)
    if count > 1:
        raise ValueError(
            f"A column name must be unique. Rename the columns. "
            f"Received: {role}={wanted!r}, {where} with {count} columns of that name"
        )
    if count == 0:
        hints = [suggest(wanted, map(str, columns)), hint(), _header_hint(columns)]
        hints = [found.strip() for found in hints if found]
        if role == "label":
            hints.append("For rows without labels pass label=None.")
        raise ValueError(
            f"The {role} column must be in the table. Pass {role}= one of its columns. "
            f"{' '.join([*hints, ''])}Received: {role}={wanted!r}, "
            f"{where} with columns {shorten(columns)}"
        )
    return wanted_name


def _header_hint(columns: Sequence[Hashable]) -> str:
    names = [str(name) for name in columns]
    if any(NUMBER.fullmatch(name) or name.count(" ") > 2 or not name.strip() for name in names):
        return "The header looks like a row of data: without a header, pass names=[...]."
    return ""


def shorten(values: Sequence[object], most: int = 12) -> str:
    """Lists values for a message: at most `most` of them, each at most 40 characters long."""
    texts = [text if len(text) <= 40 else f"{text[:37]}..." for text in map(repr, values[:most])]
    more = len(values) - most
    return ", ".join(texts) + (f" and {more:,} more" if more > 0 else "")


def text_lines(file: BinaryIO, name: str, encoding: str | None = None) -> Iterator[str]:
    r"""Reads one text from each line, each as soon as it arrives.

    Args:
        file: a binary file, such as `sys.stdin.buffer` or `path.open("rb")`.
        name: name of the file, for messages.
        encoding: codec of the text. By default a byte order mark decides; without one it is UTF-8.

    Yields:
        The lines, including empty ones, without their line ends (`\n` or `\r\n`).

    Raises:
        ValueError: the codec is unknown, or bytes do not decode. A line with NUL, as in UTF-16
            without a mark, counts as undecodable.
    """
    first = file.readline()
    codec = encoding or byte_order_mark(first) or "utf-8"
    try:
        decoder = codecs.getincrementaldecoder(codec)()
    except LookupError as error:
        raise ValueError(
            "encoding must be a codec that Python knows, such as 'utf-8', 'cp1252' or 'utf-16'. "
            f"Received: encoding={codec!r}"
        ) from error
    line, number = "", 1
    for part in chain([first], file, [b""]):
        try:
            *whole, line = (line + decoder.decode(part, final=not part)).split("\n")
        except UnicodeDecodeError as error:
            bad = f"byte 0x{error.object[error.start]:02x}"
            raise _not_decoded(name, codec, number, bad) from error
        if line and not part:
            whole.append(line)
        for text in whole:
            if "\0" in text:
                raise _not_decoded(name, codec, number, "NUL")
            yield text.removesuffix("\r")
            number += 1


def _not_decoded(name: str, codec: str, line: int, found: str) -> ValueError:
    return ValueError(
        "Lines of text are UTF-8, or begin with a byte order mark. Pass the codec that they were "
        "written with, such as encoding='cp1252' or encoding='utf-16-le'. "
        f"Received: {name!r} read as {codec}, {found} in line {line:,}"
    )


def read_frames(
    path: Path,
    pick: Callable[[Sequence[Hashable]], Sequence[Hashable]],
    encoding: str | None,
    options: Mapping[str, Any],
    stream: bool,
) -> Iterator[tuple[list[Hashable], pd.DataFrame]]:
    """Reads one file, `READ_ROWS` rows at a time.

    Args:
        path: the file; its suffix decides the format.
        pick: returns the needed column names out of all of them. Only these are read from a
            parquet file.
        encoding: codec of a text file.
        options: the user's options for `pandas.read_csv`, `read_json`, `read_parquet` or
            `read_excel`; those of a streamed parquet file go to
            `pyarrow.parquet.ParquetFile.iter_batches`.
        stream: whether memory must stay constant; a workbook is read whole anyway.

    Yields:
        All column names of the file, and a frame with at least the needed columns.

    Raises:
        ValueError: the file does not parse.
    """
    columns: list[Hashable] | None = None
    fix = ""
    kind = file_format(path)
    if kind == "parquet":
        columns = _parquet_columns(path)
        frames = _parquet_frames(path, list(pick(columns)), options, stream)
    elif kind == "excel":
        fix = "Save it again as .xlsx, or as CSV."
        frames = _excel_frames(path, options)
    elif kind == "json":
        fix = (
            "Each line must be one JSON object. Make lines of a JSON array with jq -c '.[]', or "
            "read it with pandas.read_json(…, dtype=False) and pass the DataFrame."
        )
        frames = _json_frames(path, encoding, options)
    else:
        frames = _csv_frames(path, encoding, options)
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            return
        except ValueError as error:  # all parser errors of pandas and pyarrow are ValueErrors
            if kind == "csv":
                fix = layout_hint(path, encoding, options) or (
                    "If quotes are part of the text pass quoting='none'; else check sep=, or leave "
                    "such rows out with on_bad_lines='skip'."
                )
            raise ValueError(
                f"The whole file must parse. {fix or 'Check how it was written.'} "
                f"Received: {str(path)!r}: {error}"
            ) from error
        columns = list(frame.columns) if columns is None else columns
        yield columns, frame


def _csv_frames(
    path: Path, encoding: str | None, options: Mapping[str, Any]
) -> Iterator[pd.DataFrame]:
    settings = {"sep": separator(path, options), **options}
    if "delimiter" in options:
        del settings["sep"]
    if isinstance(settings.get("quoting"), str):
        settings["quoting"] = QUOTING[settings["quoting"]]
    if not {"na_values", "keep_default_na"} & settings.keys():
        # "NA", "null" and "None" are words that people write; only an empty field is missing.
        settings.update(na_values=[""], keep_default_na=False)
    dtype = options.get("dtype")
    if dtype is None or isinstance(dtype, Mapping):
        # By default, pandas guesses the types for each block: a label would be 1 in one block and
        # "1" in the next, and a review "007" would become 7. It guesses at categories, too.
        named = {
            name: "str" if kind == "category" else kind for name, kind in (dtype or {}).items()
        }
        settings["dtype"] = defaultdict(lambda: "str", named)
    elif dtype == "category":
        settings["dtype"] = "str"
    if csv.field_size_limit() < _LARGEST_FIELD:
        # The python engine's limit of 128 KiB is less than a long review. The limit belongs to the
        # process, so never lower it again: another thread may be reading such a field.
        csv.field_size_limit(_LARGEST_FIELD)
    with pd.read_csv(path, encoding=encoding, chunksize=READ_ROWS, **settings) as reader:
        for number, frame in enumerate(reader):
            if number == 0:
                _check_header(frame, options)
            yield frame


def separator(path: Path, options: Mapping[str, Any]) -> str:
    """Returns the separator of the fields of a CSV file: the user's option, or by suffix."""
    by_suffix = "\t" if data_suffix(path) in (".tsv", ".tab") else ","
    return options.get("sep", options.get("delimiter", by_suffix))


def layout_hint(path: Path, encoding: str | None, options: Mapping[str, Any]) -> str:
    """Describes what looks wrong with how the fields of a CSV file are separated, or returns ""."""
    lines = first_lines(path, encoding, options)
    used = str(separator(path, options))
    if not lines or _separates(used, lines):
        return ""
    others = [mark for mark in "\t;|," if mark != used]
    likely = [mark for mark in others if _separates(mark, lines)]
    likely += [mark for mark in others if mark in lines[0] and used not in lines[0]]
    if likely:
        return f"The fields look separated by {likely[0]!r}: pass sep={likely[0]!r}."
    if data_suffix(path) in (".csv", ".tsv", ".tab"):
        return ""
    return (
        "This looks like one text a line, which is no table: to train, every line needs a label "
        "too. Texts alone are read by TextTable.from_texts(path.read_text('utf-8').splitlines())."
    )


def _separates(mark: str, lines: Sequence[str]) -> bool:
    return mark in lines[0] and len({line.count(mark) for line in lines}) == 1


def declares_type(options: Mapping[str, Any], column: Hashable) -> bool:
    """Returns whether the user's options give the type of a CSV column."""
    dtype = options.get("dtype")
    typed = column in dtype if isinstance(dtype, Mapping) else dtype is not None
    return typed or column in options.get("converters", ())


def _check_header(frame: pd.DataFrame, options: Mapping[str, Any]) -> None:
    if len(frame) and frame.iloc[0].tolist() == list(frame.columns):
        raise ValueError("the first row repeats the names given: pass header=0 to replace a header")
    # If the first row has more fields than the header, pandas silently uses the first ones as the
    # index, and every column holds the values of its neighbour.
    shifted = 0 if isinstance(frame.index, pd.RangeIndex) else frame.index.nlevels
    if shifted and "index_col" not in options:
        raise ValueError(
            f"the first row has {shifted + len(frame.columns)} fields and the header "
            f"{len(frame.columns)} ({shorten(list(frame.columns))})"
        )


def _json_frames(
    path: Path, encoding: str | None, options: Mapping[str, Any]
) -> Iterator[pd.DataFrame]:
    if any(line.lstrip().startswith("[") for line in first_lines(path, encoding, options)[:1]):
        raise ValueError("it is a JSON array")
    settings = {"lines": True, "dtype": False, **options}
    with pd.read_json(path, encoding=encoding, chunksize=READ_ROWS, **settings) as reader:
        yield from (frame for frame in reader if len(frame))


def _excel_frames(path: Path, options: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    if not {"na_values", "keep_default_na"} & options.keys():
        options = {"na_values": [""], "keep_default_na": False, **options}
    try:
        with pd.ExcelFile(path, engine="openpyxl") as book:
            sheets = book.sheet_names
            frame = pd.read_excel(book, **options)
    except ImportError as error:
        raise ImportError(
            "Excel files are read with openpyxl, which is not installed. Run pip install "
            f"'keras-seqzoo[excel]', or save the sheet as CSV. Received: {str(path)!r}"
        ) from error
    except Exception as error:  # any error of the parser
        raise ValueError(f"{type(error).__name__}: {error}") from error
    if not isinstance(frame, pd.DataFrame):
        raise ValueError("a table is one sheet: name it with sheet_name=…")
    if len(sheets) > 1 and "sheet_name" not in options:
        warn(
            f"{path} has {len(sheets)} sheets, of which the first is read, {sheets[0]!r}. For "
            f"another one pass sheet_name={sheets[1]!r}."
        )
    yield frame


def _parquet_columns(path: Path) -> list[Hashable]:
    try:
        with parquet.ParquetFile(path) as file:
            return list(file.schema_arrow.names)
    except ValueError as error:
        raise ValueError(
            f"A .parquet file must be in that format. Check how it was written. "
            f"Received: {str(path)!r}: {error}"
        ) from error


def _parquet_frames(
    path: Path, columns: list[Hashable], options: Mapping[str, Any], stream: bool
) -> Iterator[pd.DataFrame]:
    if options and not stream:
        yield pd.read_parquet(path, **options)
        return
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=READ_ROWS, columns=columns, **options):
            yield batch.to_pandas()
