"""The encoding of a text file: detected from all of its bytes, or checked against them."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from keras_seqzoo.checks import warn

COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}

_BLOCK_BYTES = 1 << 20
_OPENERS: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}
# UTF-32 first: its little-endian mark begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# At 0x80-0x9f, latin-1 has only control characters; cp1252 has curly quotes, dashes and the euro
# sign there, and five unused bytes.
_C1_BYTES = frozenset(range(0x80, 0xA0))
_CP1252_HOLES = frozenset({0x81, 0x8D, 0x8F, 0x90, 0x9D})
_NOT_C1 = bytes(sorted(set(range(256)) - _C1_BYTES))


def choose_encoding(path: Path, encoding: str | None, options: Mapping[str, Any]) -> str:
    """Finds the text encoding of a whole file and checks that all of it decodes.

    Without `encoding`: a byte order mark decides; else UTF-8 if every byte of the file is valid
    UTF-8; else cp1252 if at least one of the bytes 0x80-0x9f occurs and cp1252 defines all that
    occur; else latin-1. The file is read in blocks, through gzip, bz2 or xz. Files in other
    compressions are not opened and count as UTF-8.

    Args:
        path: a text file, at least one byte long.
        encoding: a Python codec name, or `None` to detect.
        options: the user's pandas options; `compression` and `encoding_errors` are used here.

    Returns:
        The codec name for pandas.

    Raises:
        ValueError: unknown codec, bytes the given codec cannot decode, NUL characters, or a
            damaged compressed file.

    Warns:
        UserWarning: no encoding was given and the file is not UTF-8.
    """
    errors = options.get("encoding_errors", "strict")
    compression = _compression(path, options)
    if compression is not None and compression not in _OPENERS:
        return encoding or "utf-8"
    try:
        chosen = encoding or byte_order_mark(next(_blocks(path, compression)))
        failure = _first_bad_byte(path, compression, chosen or "utf-8", errors)
        if failure is None:
            return chosen or "utf-8"
        if chosen:
            raise ValueError(
                f"The whole file must decode with its encoding. Leave encoding out to have it "
                f"detected, or pass encoding_errors='replace' to accept the damage. "
                f"Received: encoding={chosen!r} for {str(path)!r}, which has {failure}"
            )
        guess = _single_byte_encoding(path, compression)
        _first_bad_byte(path, compression, guess, errors)
    except LookupError as error:
        raise ValueError(
            f"encoding must be a codec that Python knows, such as 'utf-8', 'cp1252' or 'utf-16'; "
            f"leave it out to have it detected. Received: encoding={encoding!r}"
        ) from error
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:  # not about the content
            raise
        raise ValueError(
            f"A compressed file must be complete. Download or write it again. "
            f"Received: {str(path)!r} ({error})"
        ) from error
    warn(
        f"{path} is not UTF-8 ({failure}) and was read as {guess}. Pass encoding=... if letters "
        f"come out wrong; for UTF-8 with a few damaged bytes pass encoding='utf-8', "
        f"encoding_errors='replace'."
    )
    return guess


def first_lines(path: Path, encoding: str | None, options: Mapping[str, Any]) -> list[str]:
    """Returns the first 20 whole lines that are not empty, for messages; [] for a `.zst` file."""
    compression = _compression(path, options)
    if compression is not None and compression not in _OPENERS:
        return []
    start = next(_blocks(path, compression))
    lines = start.decode(encoding or "utf-8", "replace").splitlines()
    return [line for line in lines[: -1 if len(start) == _BLOCK_BYTES else None] if line][:20]


def byte_order_mark(start: bytes) -> str | None:
    """Returns the codec that a byte order mark at the start of a text names, if there is one."""
    return next((name for mark, name in _BYTE_ORDER_MARKS if start.startswith(mark)), None)


def _compression(path: Path, options: Mapping[str, Any]) -> str | None:
    asked = options.get("compression", "infer")
    if isinstance(asked, Mapping):
        asked = asked.get("method", "infer")
    return COMPRESSIONS.get(path.suffix.lower()) if asked == "infer" else asked


def _blocks(path: Path, compression: str | None) -> Iterator[bytes]:
    with cast(BinaryIO, _OPENERS.get(compression or "", open)(path, "rb")) as file:
        block = b"-"
        while block:  # the last one is empty: it marks the end
            block = file.read(_BLOCK_BYTES)
            yield block


def _first_bad_byte(path: Path, compression: str | None, codec: str, errors: str) -> str | None:
    """Describes the first byte that `codec` cannot decode; `None` if all decode. Raises on NUL."""
    decoder = codecs.getincrementaldecoder(codec)(errors)
    offset, line = 0, 1
    for block in _blocks(path, compression):
        pending = len(decoder.getstate()[0])
        try:
            # The empty last block tells the decoder to complain about a cut-off character.
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            line += error.object.count(b"\n", 0, error.start)
            bad = error.object[error.start]
            return f"byte 0x{bad:02x} at offset {offset - pending + error.start}, line {line}"
        nul = text.find("\0")
        if nul >= 0:
            raise ValueError(
                f"A text file must hold no NUL characters: parsers may cut a field short there. "
                f"If it is UTF-16 pass encoding='utf-16' ('utf-16-le' or 'utf-16-be' without a "
                f"byte order mark); if it is a spreadsheet or another binary file read it with "
                f"pandas and pass the DataFrame; otherwise remove them. "
                f"Received: {str(path)!r}, NUL in line {line + text.count(chr(10), 0, nul)}"
            )
        line += text.count("\n")
        offset += len(block)
    return None


def _single_byte_encoding(path: Path, compression: str | None) -> str:
    present: set[int] = set()
    for block in _blocks(path, compression):
        present.update(block.translate(None, _NOT_C1))
    return "cp1252" if present and not present & _CP1252_HOLES else "latin-1"
