"""Files and folders that are written whole or not at all, with the rights that the umask leaves."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of `path` when that went well.

    The file, or folder, is made by who writes it, so that it has the rights that the user's umask
    leaves. It lies beside its place and has the same suffix.

    Args:
        path: of a file, which is replaced where it exists; or of a folder that does not exist.
        durable: whether it must be on the disk before it takes its place, so that it is whole
            after a power cut too.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.stem[:40]}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield unfinished
        settle(unfinished, durable=durable)
        unfinished.replace(path)
    finally:
        if unfinished.is_dir():
            shutil.rmtree(unfinished, ignore_errors=True)
        else:
            unfinished.unlink(missing_ok=True)


def settle(path: Path, *, durable: bool) -> None:
    """Gives the folders within a folder its own rights, and has the system write what is unwritten.

    TensorFlow makes folders that a group cannot write to, whatever the umask.

    Args:
        path: of a file or folder.
        durable: whether to wait until all is on the disk.
    """
    entries = [*path.rglob("*"), path] if path.is_dir() else [path]
    for entry in entries:
        if entry.is_dir():
            entry.chmod(path.stat().st_mode)
    for entry in entries if durable else ():
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def check_page_path(path: str | os.PathLike[str]) -> None:
    """Raises where a file cannot be written, before time is spent on what is to be in it.

    Raises:
        OSError: a folder is there, or nothing can be written to its folder.
    """
    wanted = Path(path).absolute()
    if wanted.is_dir():
        raise IsADirectoryError(
            f"A page is a file. Name one in the folder, such as page.html. Received: {path}"
        )
    # What does not exist is made, in the nearest folder that does.
    at = next(place for place in (wanted, *wanted.parents) if place.exists())
    if not os.access(at, os.W_OK) or (at != wanted and not at.is_dir()):
        raise PermissionError(
            "The page must be in a folder that can be written to. Choose another. "
            f"Received: {path}, where {at} cannot be written to"
        )


def check_exists(path: str | os.PathLike[str]) -> None:
    """Raises where there is no file.

    Raises:
        FileNotFoundError: no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no such file. Check the path. Received: {path}")
