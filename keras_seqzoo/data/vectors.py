"""Reads word vectors that were trained elsewhere: GloVe, word2vec, fastText and others.

Text files and files in word2vec's binary layout are read word by word, and only the wanted rows are
kept. gensim, an extra, reads fastText's `.bin`. gensim's own files are pickles, which can run any
code: the user must load those, and pass the result.
"""

from __future__ import annotations

import gzip
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Row = tuple[str, Any]  # a word and its vector

_FASTTEXT = struct.pack("<i", 793712314)  # the first bytes of fastText's .bin
_RULE = "`vectors` must be a file of words, each with as many numbers as the others. "


class WordVectors(NamedTuple):
    """Vectors of words.

    Attributes:
        words: without repetitions, in the order of the source, which is by frequency.
        rows: float32 `(words, width)`.
    """

    words: tuple[str, ...]
    rows: npt.NDArray[np.float32]


def read_vectors(
    source: Any, wanted: Iterable[str], further: int, form: Callable[[list[str]], list[str]]
) -> WordVectors:
    """Reads the vectors of some words, and of the most frequent other words.

    Args:
        source: a path: of a text file (GloVe; word2vec and fastText `.vec` with their first line of
            counts; also `.gz`), of a file in word2vec's binary layout, or of fastText's `.bin`,
            whose parts of words give a vector to every wanted word; or gensim's `KeyedVectors`; a
            mapping of words to vectors; or `(words, array)`, the array `(words, width)` or the path
            of a `.npy` file.
        wanted: words to look for.
        further: how many more words to keep, the first of the source.
        form: returns a word as a model splits it from its texts; "" if no text can contain it. The
            first word of a form is kept.

    Raises:
        FileNotFoundError: no such file.
        ImportError: gensim is needed and not installed.
        TypeError: a source that is none of these.
        ValueError: a file that is malformed or cut off, or has none of the wanted words.
    """
    wanted = set(wanted)
    rows, by_parts = _open(source)
    kept: dict[str, Any] = {}
    others = width = 0
    for words, vectors in _in_blocks(rows):
        for word, vector in zip(form(words), vectors, strict=True):
            width = width or len(vector)
            if len(vector) != width:
                raise ValueError(
                    f"{_RULE}Fetch the file again, or repair it. Received: {len(vector)} numbers "
                    f"for {word!r}, {width} before"
                )
            if not word or word in kept:
                continue
            if word not in wanted:
                if others >= further:
                    continue
                others += 1
            kept[word] = vector
    found = len(kept) - others
    if by_parts:
        kept |= {word: by_parts(word) for word in sorted(wanted - kept.keys())}
    if not found:
        raise ValueError(
            "`vectors` must have words of the training texts. Check their language, and that both "
            f"are in the same case. Received: {_name(source)}, with none of {len(wanted):,} words"
        )
    array = np.array(list(kept.values()), np.float32)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{_RULE}Fetch the file again. Received: numbers that are not finite, {_name(source)}"
        )
    return WordVectors(tuple(kept), array)


def _in_blocks(rows: Iterator[Row], size: int = 8192) -> Iterator[tuple[list[str], list[Any]]]:
    words: list[str] = []
    vectors: list[Any] = []
    for word, vector in rows:
        words.append(word)
        vectors.append(vector)
        if len(words) == size:
            yield words, vectors
            words, vectors = [], []
    yield words, vectors


def _open(source: Any) -> tuple[Iterator[Row], Callable[[str], Any] | None]:
    """Returns the rows of a source, and a function for vectors of missing words, if it has one."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no such file of word vectors. Check the path. Received: {path}"
            )
        with path.open("rb") as file:
            begins = file.read(4)
        if not begins:
            raise ValueError(f"{_RULE}Fetch the file again. Received: {path}, which is empty")
        if path.suffix in (".kv", ".model", ".pkl"):
            raise ValueError(
                "gensim's own files are pickles, which may run any code. If you trust it, pass "
                f"gensim.models.KeyedVectors.load({path.name!r}, mmap='r'). Received: {path}"
            )
        if begins == _FASTTEXT:
            return _open(_fasttext(path))
        if path.suffix == ".bin":
            return _binary_rows(path), None
        return _lines_of(path), None
    if hasattr(source, "key_to_index") and hasattr(source, "get_vector"):  # gensim's
        rows = ((word, source.vectors[at]) for word, at in source.key_to_index.items())
        return rows, source.get_vector if hasattr(source, "vectors_ngrams") else None
    if isinstance(source, Mapping):
        return ((str(word), np.asarray(v, np.float32)) for word, v in source.items()), None
    if isinstance(source, Sequence) and len(source) == 2:
        return _array_rows(*source), None
    raise TypeError(
        "`vectors` must be a path, gensim's KeyedVectors, a mapping of words to vectors, or "
        f"(words, array). Received: {type(source).__name__}"
    )


def _fasttext(path: Path) -> Any:
    try:
        from gensim.models.fasttext import load_facebook_vectors
    except ImportError as error:
        raise ImportError(
            'gensim reads such files. Run pip install "keras-seqzoo[vectors]", or pass the .vec '
            f"file of the same vectors. Received: {path}"
        ) from error
    try:
        return load_facebook_vectors(str(path))
    except Exception as error:  # any error of gensim
        raise ValueError(
            f"{_RULE}This one of fastText cannot be read; fetch it again. "
            f"Received: {path}: {type(error).__name__}: {error}"
        ) from error


def _array_rows(words: Any, array: Any) -> Iterator[Row]:
    if isinstance(array, str | os.PathLike):
        array = np.load(array, mmap_mode="r", allow_pickle=False)
    array = np.asanyarray(array)
    if array.ndim != 2 or len(array) != len(words):
        raise ValueError(
            "`vectors` given as (words, array) must have a row for each word. "
            f"Received: {len(words):,} words, an array of shape {array.shape}"
        )
    return zip(map(str, words), array, strict=True)


def _lines_of(path: Path) -> Iterator[Row]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            yield from _text_rows(path, lines)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{_RULE}This one is cut off, or no gzip; fetch it again. Received: {path}: {error}"
        ) from error


def _text_rows(path: Path, lines: Iterable[bytes]) -> Iterator[Row]:
    """Yields the word and its numbers on each line; a word may contain spaces."""
    width = said = 0
    for number, line in enumerate(lines, 1):
        fields = line.rstrip().split(b" ")
        if number == 1 and len(fields) == 2 and all(f.isdigit() for f in fields):
            width = said = int(fields[1])
            continue
        width = width or len(fields) - 1
        if said and len(fields) - 1 != said:
            raise ValueError(
                f"{_RULE}Correct its first line, or fetch it again. Received: {path}, which "
                f"says {said} numbers a word and has {len(fields) - 1}"
            )
        said = 0
        try:
            vector = np.array(fields[-width:], np.float32)
            word = b" ".join(fields[:-width]).decode("utf-8")
        except ValueError:
            vector, word = np.zeros(0, np.float32), ""
        if not word or len(vector) != width:
            raise ValueError(
                f"{_RULE}Fetch the file again, or pass another. "
                f"Received: {path}, line {number:,}: {line[:60]!r}"
            )
        yield word, vector


def _binary_rows(path: Path) -> Iterator[Row]:
    """Yields rows of word2vec's binary layout: counts, then words with their float32 numbers."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(b"\n", 0, 64) + 1
        try:
            count, width = (int(field) for field in data[:at].split())
        except ValueError:
            raise ValueError(
                f"{_RULE}In word2vec's .bin they come after two counts. Received: {path}"
            ) from None
        for number in range(count):
            end = data.find(b" ", at, at + 4096)
            after = end + 1 + 4 * width
            if end < 0 or after > len(data):
                raise ValueError(
                    f"{_RULE}This one is cut off; fetch it again. Received: {path}, which ends "
                    f"after {number:,} of {count:,} words"
                )
            word = data[at:end].lstrip(b"\n").decode("utf-8", "replace")
            yield word, np.frombuffer(data[end + 1 : after], np.float32)
            at = after


def _name(source: Any) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else type(source).__name__
