"""Tables that come as the parts of a split, such as files of their own to train and to test on."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_seqzoo.checks import warn
from keras_seqzoo.data.sources import PARTS
from keras_seqzoo.data.splitting import count_in_several


class TableParts(dict[str, Any]):
    """Tables of one target by the names of their parts, such as "train" and "test".

    Made by `read_table`, of a mapping, a `DatasetDict` or a folder. A part of any other name is
    there to be asked for alone.
    """

    def split(self, valid: float = 0.1, test: float = 0.1, seed: int = 0) -> tuple[Any, Any, Any]:
        """Returns the tables to train, to validate and to test on.

        Args:
            valid: fraction or number of the training rows to validate on, where no part is named
                "validation", "valid", "val" or "dev".
            test: the same to test on, where there is no part "test" with labels.
            seed: of what is drawn.

        Returns:
            `(train, valid, test)`, each with the target of the training rows.

        Raises:
            ValueError: no part "train", or what `TextTable.split` says.

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
        """Keeps each text once, where case and surrounding space do not count.

        A test row stays rather than a validation row, and that rather than a training row. Parts of
        other names stay as they are.

        Raises:
            ValueError: the parts are streams.

        Warns:
            UserWarning: as `TextTable.drop_duplicates`.
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
