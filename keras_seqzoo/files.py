"""Files and folders that are written whole or not at all, with the permissions of the umask."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path to write to, which replaces `path` if the writing succeeds.

    The caller makes the file or folder, so that it has the permissions of the user's umask. The
    temporary path is in the same folder and has the same suffix.

    Args:
        path: path of a file, which is replaced if it exists; or of a folder that does not exist.
        durable: whether to wait until the data is on the disk before it replaces `path`, so that
            the file is whole even after a power cut.

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
    """Gives the folders in a folder its own permissions, and can write unwritten data to the disk.

    TensorFlow makes folders that a group cannot write to, whatever the umask.

    Args:
        path: path of a file or folder.
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
    """Raises if a file cannot be written, before its contents cost time.

    Raises:
        OSError: the path is a folder, or its folder cannot be written to.
    """
    wanted = Path(path).absolute()
    if wanted.is_dir():
        raise IsADirectoryError(
            f"A page is a file. Name one in the folder, such as page.html. Received: {path}"
        )
    # Missing folders are made later, in the nearest folder that exists.
    at = next(place for place in (wanted, *wanted.parents) if place.exists())
    if not os.access(at, os.W_OK) or (at != wanted and not at.is_dir()):
        raise PermissionError(
            "The page must be in a folder that can be written to. Choose another. "
            f"Received: {path}, where {at} cannot be written to"
        )


def check_exists(path: str | os.PathLike[str]) -> None:
    """Raises if a file does not exist.

    Raises:
        FileNotFoundError: no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no such file. Check the path. Received: {path}")
