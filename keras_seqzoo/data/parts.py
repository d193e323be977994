"""Tables that come as the parts of a split, such as separate files for training and test."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_seqzoo.checks import warn
from keras_seqzoo.data.sources import PARTS
from keras_seqzoo.data.splitting import count_in_several


class TableParts(dict[str, Any]):
    """Tables with one target, by the names of their parts, such as "train" and "test".

    `read_table` makes it from a mapping, a `DatasetDict` or a folder. A part of any other name is
    kept, but only used if you ask for it.
    """

    def split(self, valid: float = 0.1, test: float = 0.1, seed: int = 0) -> tuple[Any, Any, Any]:
        """Returns the tables for training, validation and test.

        Args:
            valid: fraction or number of the training rows to use for validation, if no part is
                named "validation", "valid", "val" or "dev".
            test: the same for the test, if there is no part "test" with labels.
            seed: seed of the draw.

        Returns:
            `(train, valid, test)`, each with the target of the training rows.

        Raises:
            ValueError: no part "train", or an error of `TextTable.split`.

        Warns:
            UserWarning: texts occur in more than one of the parts.
        """
        train = self.get("train")
        if train is None:
            raise ValueError(
                "One of the parts must be the training rows. Name it 'train'. "
                f"Received: parts {list(self)}"
            )
        given = {
            PARTS[name]: table
            for name, table in self.items()
            if name in PARTS and (table.target is None) == (train.target is None)
        }
        if all(hasattr(table, "ids") for table in given.values()):
            ids = np.concatenate([table.ids() for table in given.values()])
            groups = np.repeat(np.arange(len(given)), [len(table) for table in given.values()])
            if shared := count_in_several(ids, groups):
                warn(
                    f"{shared:,} {train.inputs.noun} are in more than one of the parts "
                    f"{', '.join(given)}: the model will have seen answers it is tested on. Drop "
                    "them first: parts.drop_duplicates()."
                )
        drawn = train.split(
            valid=0 if "valid" in given else valid, test=0 if "test" in given else test, seed=seed
        )
        return drawn[0], given.get("valid", drawn[1]), given.get("test", drawn[2])

    def drop_duplicates(self) -> TableParts:
        """Keeps each text once; case and surrounding space do not count.

        If parts share a text, the test row is kept first, then the validation row, then the
        training row. Parts of other names do not change.

        Raises:
            ValueError: the parts are streams.

        Warns:
            UserWarning: see `TextTable.drop_duplicates`.
        """
        order = ("test", "valid", "train")
        kept, seen = dict(self), np.zeros(0, np.uint64)
        for name in sorted(PARTS.keys() & self.keys(), key=lambda name: order.index(PARTS[name])):
            if not hasattr(self[name], "drop_duplicates"):
                raise ValueError(
                    "Duplicates are found in memory. Leave `drop_duplicates` out, or "
                    f"read the parts without stream=True. Received: {self[name]!r}"
                )
            table = self[name].drop_duplicates()
            kept[name] = table.take(~np.isin(table.ids(), seen))
            seen = np.concatenate([seen, table.ids()])
        return TableParts(kept)
