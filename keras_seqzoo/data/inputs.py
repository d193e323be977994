"""The input of a row: one text, or a pair of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_list_like

from keras_seqzoo.data.splitting import text_ids

# Mixes the two hashes of a pair, so that (a, b) and (b, a) differ; 2**64 / golden ratio.
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Input:
    """One kind of input.

    Attributes:
        name: its name in `INPUTS`, also used in messages for one such input.
        columns: the columns of a table's frame that hold it.
        noun: the plural, used in messages.
    """

    name: str
    columns: tuple[str, ...]
    noun: str

    def texts(self, frame: pd.DataFrame) -> npt.NDArray[np.object_]:
        """Returns the texts of a table's frame: str `(rows,)`, or `(rows, 2)` for pairs."""
        columns = [frame[name].to_numpy(dtype=object, copy=True) for name in self.columns]
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    def ids(self, frame: pd.DataFrame) -> npt.NDArray[np.uint64]:
        """Numbers rows: equal if they differ only in case or surrounding space.

        Two pairs are equal if both their texts are, in the same order.
        """
        ids = np.zeros(len(frame), np.uint64)
        for name in self.columns:
            ids = ids * _MIX + text_ids(frame[name])
        return ids


INPUTS = {
    "text": Input("text", ("text",), "texts"),
    "pair": Input("pair", ("text", "text_pair"), "pairs"),
}


def text_columns(texts: Any) -> dict[str, pd.Series]:
    """Sorts the texts that a user passes into the columns of an `Input`.

    Args:
        texts: strings; or pairs: a tuple `(firsts, seconds)` of two sequences, or rows of two
            strings each, `(rows, 2)`.

    Returns:
        Columns of objects by name, not yet checked: those of `INPUTS["text"]` or of
        `INPUTS["pair"]`.

    Raises:
        TypeError: a single string.
        ValueError: some pairs lack a side.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(
            f"texts must be a sequence of strings. Put one text in a list. Received: {texts!r}"
        )
    if isinstance(texts, tuple) and len(texts) == 2 and all(map(is_list_like, texts)):
        sides: Sequence[Sequence[Any]] = [list(side) for side in texts]
        if len(sides[0]) != len(sides[1]):
            raise ValueError(
                "A pair has two texts: (firsts, seconds) must have the same length. Check how the "
                "two were "
                f"made. Received: {len(sides[0]):,} firsts, {len(sides[1]):,} seconds"
            )
    else:
        rows = texts.to_numpy() if isinstance(texts, pd.DataFrame) else texts
        rows = [row if isinstance(row, str) or not is_list_like(row) else list(row) for row in rows]
        sizes = np.array([len(row) if isinstance(row, list) else -1 for row in rows])
        is_pair = sizes == 2
        if is_pair.any() and not is_pair.all():
            row = int(np.flatnonzero(~is_pair)[0])
            raise ValueError(
                "All rows are texts, or all are pairs of two texts. Complete the pairs, or leave "
                f"those rows out. Received: {rows[row]!r} in row {row + 1} (counted from 1)"
            )
        sides = list(zip(*rows, strict=True)) if is_pair.any() else [rows]
    # object: pandas would reject half of a surrogate pair before it could be explained.
    columns: Mapping[str, Any] = dict(zip(INPUTS["pair"].columns, sides, strict=False))
    return {name: pd.Series(list(side), dtype=object) for name, side in columns.items()}
