"""Files: whether a page can be written where it is wanted, and writing one whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of `path` when that went well.

    The file is made by who writes it, so that it has the rights that the user's umask leaves.
    """
    unfinished = path.with_name(f".{path.name[:40]}-{secrets.token_hex(4)}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def check_page_path(path: str | os.PathLike[str]) -> None:
    """Raises where a file can not be written, before time is spent on what is to be in it.

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
            f"Received: {path}, where {at} can not be written to"
        )
