"""Finds the files of a source that a user names, or makes a pandas frame of it.

A source that can be read only once (a pipe, an open file), or that is not a single file (an
archive, a folder of texts), is first copied to a file. The copy is deleted when nothing holds its
path any more.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
import warnings
import weakref
import zlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import pandas as pd
import pyarrow as pa
from pandas.api.types import is_list_like
from pyarrow import parquet

from keras_seqzoo.checks import warn
from keras_seqzoo.data.encoding import choose_encoding
from keras_seqzoo.data.reading import data_suffix, is_known, shorten
from keras_seqzoo.names import suggest

PARTS = {
    "train": "train",
    "validation": "valid",
    "valid": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}
"""The part of a split for each name."""

CLASSES = "keras_seqzoo.classes"

_UNLABELLED = "unsup"  # folder of the IMDB reviews that is not a class


class _Copy(type(Path())):  # type: ignore[misc]
    """The path of a file in a folder of its own, which is deleted together with the path."""


def name_of(source: Any) -> str:
    """Returns the name of a source for messages."""
    if isinstance(source, str | os.PathLike):
        return "stdin" if source == "-" else os.fspath(source)
    name = getattr(source, "name", None) if hasattr(source, "read") else None
    return name if isinstance(name, str) else type(source).__name__


def as_frame(source: Any) -> pd.DataFrame | None:
    """Makes a pandas frame from a table of another library; None if the source is no such table.

    Such a table has `to_pandas` (polars, pyarrow, Hugging Face's datasets, …), or is an Arrow
    stream (DuckDB, …), or becomes one of these by `collect` (polars' lazy frames). Numbered classes
    of a Hugging Face dataset become names, and missing values if the number is -1; their order is
    in the frame's `attrs[CLASSES]`, by column.
    """
    if isinstance(source, pd.DataFrame):
        return source
    if hasattr(source, "to_pandas"):
        frame = source.to_pandas()
    elif hasattr(source, "__arrow_c_stream__") and not isinstance(source, pd.Series):
        frame = pa.table(source).to_pandas()
    else:
        return as_frame(source.collect()) if hasattr(source, "collect") else None
    if not isinstance(frame, pd.DataFrame):
        return None
    features = getattr(source, "features", None)
    classes = {}
    for column, feature in features.items() if isinstance(features, Mapping) else ():
        names = getattr(getattr(feature, "feature", feature), "names", None)
        if isinstance(names, list):
            classes[column] = names
            frame[column] = frame[column].map(partial(_named, names=names)).astype(object)
    frame.attrs[CLASSES] = classes
    return frame


def _named(number: Any, names: list[str]) -> Any:
    if is_list_like(number):
        return [_named(one, names) for one in number]
    return names[int(number)] if pd.notna(number) and number >= 0 else None


def find_files(
    source: str | os.PathLike[str] | IO[Any], encoding: str | None = None
) -> tuple[list[Path], bool]:
    """Finds the files of a source, in sorted order.

    Args:
        source: a path, or a pattern such as `"logs/part-*.csv"`; `"-"` is standard input. A file
            whose own name contains `*`, `?` or `[` is taken as that file. It can be an open file,
            of bytes or text. For a `.zip` file, the one table in it. For a folder with a sub-folder
            for each class, a table of the columns `file`, `text` and `label`, with a row for each
            `.txt` file below; for a folder with only `.txt` files, the same without labels.
        encoding: codec of the files in a folder. By default detected.

    Returns:
        The files, and whether `source` was a pattern.

    Raises:
        FileNotFoundError: no such file, or nothing matches the pattern.
        TypeError: `source` is of another type.
        ValueError: a folder without texts, a terminal, an archive without one table, or an empty
            file.

    Warns:
        UserWarning: a folder of texts without labels was left out.
    """
    if hasattr(source, "read"):
        return _checked([_spooled(source, name_of(source))]), False
    if not isinstance(source, str | os.PathLike):
        raise TypeError(
            "source must be a path, a pattern, an open file or a DataFrame. For lists of texts use "
            f"TextTable.from_texts. Received: {type(source).__name__}"
        )
    path = Path(source).expanduser()
    is_pattern = bool(set("*?[") & set(str(path))) and not path.exists()
    if is_pattern:
        # Unlike Path.glob, this skips hidden files, such as Spark's ".part-0.csv.crc".
        found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
        files = [file for file in found if file.is_file()]
        if not files:
            raise FileNotFoundError(
                f"A pattern must match at least one file. Check the folder and the suffix. "
                f"Received: {str(source)!r} (working folder: {Path.cwd()})"
            )
    elif path.is_dir():
        files = [_folder_table(path, encoding)]
    elif str(source) == "-":
        files = [_spooled(sys.stdin.buffer, "stdin")]
    elif path.is_fifo() or path.is_char_device():
        with path.open("rb") as pipe:
            files = [_spooled(pipe, path.name)]
    elif not path.exists():
        raise FileNotFoundError(f"No such file. {_similar_files(path)} Received: {str(source)!r}")
    else:
        files = [path]
    return _checked(files), is_pattern


def _checked(files: list[Path]) -> list[Path]:
    for file in files:
        if file.stat().st_size == 0:
            raise ValueError(
                f"A table needs at least one row. Check how the file was written. "
                f"Received: {str(file)!r}, an empty file"
            )
    return [_unzipped(file) if file.suffix.lower() == ".zip" else file for file in files]


def _similar_files(path: Path) -> str:
    if not path.parent.is_dir():
        return f"The folder {str(path.parent)!r} does not exist either: check the path."
    names = sorted(entry.name for entry in path.parent.iterdir())
    holds = shorten(names) or "nothing"
    otherwise = f"Check the path: {str(path.parent)!r} holds {holds}."
    return suggest(path.name, names, otherwise).strip()


def _copy(name: str) -> Path:
    folder = tempfile.mkdtemp(prefix="keras-seqzoo-")
    path = _Copy(folder, name)
    weakref.finalize(path, shutil.rmtree, folder, ignore_errors=True)
    return path


def _spooled(file: Any, name: str) -> Path:
    """Copies the unread rest of an open file; its first bytes decide the suffix of the copy."""
    if hasattr(file, "isatty") and file.isatty():
        raise ValueError(f"A table comes from a file or a pipe. Received: {name}, a terminal")
    blocks = _blocks(file, name)
    start = next(blocks, b"")
    suffix = data_suffix(Path(name))
    if start.startswith(b"PAR1"):
        suffix = ".parquet"
    elif start.startswith(b"PK\3\4"):
        suffix = ".zip"  # or a workbook, which is a zip file, too
    elif not suffix:
        suffix = ".jsonl" if start.lstrip().startswith(b'{"') else ".csv"
    if start.startswith(b"\x1f\x8b"):
        suffix += ".gz"
    copy = _copy(Path(name).name.split(".")[0] + suffix)
    with copy.open("wb") as target:
        target.write(start)
        target.writelines(blocks)
    return copy


def _blocks(file: Any, name: str) -> Iterator[bytes]:
    try:
        while block := file.read(1 << 20):
            yield block.encode() if isinstance(block, str) else block
    except UnicodeDecodeError as error:
        raise ValueError(
            "An open file must decode. Open it with mode 'rb', so that its encoding is found. "
            f"Received: {name!r} ({error})"
        ) from error


def _unzipped(path: Path) -> Path:
    """Copies the one table in an archive; for a workbook, which is an archive, the whole file."""
    try:
        with ZipFile(path) as archive:
            names = [
                name
                for name in archive.namelist()
                if not name.endswith("/") and Path(name).name[0] != "." and "__MACOSX" not in name
            ]
            if "xl/workbook.xml" in names:
                copy = _copy(f"{path.stem}.xlsx")
                shutil.copyfile(path, copy)
                return copy
            tables = [name for name in names if is_known(Path(name))] or names
            if len(tables) != 1:
                raise ValueError(
                    "A .zip file holds one table. Unpack it, and pass one file or a pattern. "
                    f"Received: {str(path)!r} with {shorten(tables) or 'no file'}"
                )
            name = Path(tables[0]).name
            copy = _copy(name if is_known(Path(name)) else path.stem)
            with archive.open(tables[0]) as member, copy.open("wb") as target:
                shutil.copyfileobj(member, target)
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, zlib.error) as error:
        # RuntimeError: it has a password.
        raise ValueError(
            "A .zip file must be complete, and open without a password. Write it again, or unpack "
            f"it and pass the file in it. Received: {str(path)!r} ({error})"
        ) from error
    return _checked([copy])[0]


def folder_parts(path: Path) -> dict[str, Path]:
    """Returns sub-folders named as parts of a split that hold folders of classes; {} if none."""
    folders = _folders(path)
    parts = {f.name: f for f in folders if f.name in PARTS and any(f.glob("*/*.txt"))}
    if parts:
        _tell_left_out([f for f in folders if f.name not in parts and any(_texts_in(f))])
    return parts


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))


def _texts_in(folder: Path) -> Iterator[Path]:
    return filter(_is_text, folder.rglob("*"))


def _is_text(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and path.name[0] != "." and path.is_file()


def _tell_left_out(folders: list[Path]) -> None:
    if folders:
        warn(
            f"{', '.join(map(str, folders))}: left out, as neither a class nor a part of a split. "
            "Read it alone with label=None."
        )


def _folder_table(path: Path, encoding: str | None) -> Path:
    """Makes a table of the texts in a folder with a folder for each class, or with only texts."""
    found = {folder: sorted(_texts_in(folder)) for folder in _folders(path)}
    labelled = {f: files for f, files in found.items() if files and f.name != _UNLABELLED}
    if labelled:
        _tell_left_out([f for f in found if f.name == _UNLABELLED])
    else:
        alone = sorted(filter(_is_text, path.iterdir()))
        if not alone or any(is_known(file) for file in path.iterdir()):
            raise ValueError(
                "A folder that is a table has a sub-folder for each class, with .txt files. Pass "
                f"one file, or a pattern such as {str(path / '*.csv')!r} to stream all of it. "
                f"Received: {str(path)!r}"
            )
        labelled = {path: alone}
    files = [file for part in labelled.values() for file in part]
    columns: dict[str, list[Any]] = {"file": [str(file.relative_to(path)) for file in files]}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        columns["text"] = [_content(file, encoding) for file in files]
    if caught:  # once, not for each file
        more = f" {len(caught) - 1:,} more files are not UTF-8." * (len(caught) > 1)
        warn(f"{caught[0].message}{more}")
    if path not in labelled:
        columns["label"] = [folder.name for folder, part in labelled.items() for _ in part]
    copy = _copy(f"{path.resolve().name}.parquet")
    parquet.write_table(pa.table(columns), copy)
    return copy


def _content(file: Path, encoding: str | None) -> str | None:
    """Returns the text of a file; None for an empty file, as for an empty field."""
    if not file.stat().st_size:
        return None
    return file.read_text(choose_encoding(file, encoding, {}))
