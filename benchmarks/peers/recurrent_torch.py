"""The PyTorch peer of `recurrent.py`, which starts it in the environment of `make_env.sh`."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence
from turns import Run, runs, work


def load(order: dict[str, Any]) -> Run:
    """Epochs over the batches of the file; what comes of it is the mean loss of the last."""
    arrays = np.load(order["file"])
    batches = [
        [torch.from_numpy(arrays[f"{part}{i}"]).long() for part in ("ids", "lengths", "labels")]
        for i in range(sum(name.startswith("ids") for name in arrays))
    ]
    rows = sum(len(labels) for *_, labels in batches)
    vocabulary, width, units = arrays["sizes"].tolist()
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(vocabulary, width)
    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[order["layer"]](
        width, units, batch_first=True
    )
    head = torch.nn.Linear(units, int(max(labels.max() for *_, labels in batches)) + 1)
    model = torch.nn.ModuleList([embedding, layer, head])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def run() -> tuple[int, float]:
        for _ in range(order["epochs"]):
            total = 0.0
            for at in torch.randperm(len(batches)).tolist():
                ids, lengths, labels = batches[at]
                packed = pack_padded_sequence(
                    embedding(ids), lengths, batch_first=True, enforce_sorted=False
                )
                _, states = layer(packed)
                last = (states[0] if order["layer"] == "lstm" else states)[-1]
                loss = torch.nn.functional.cross_entropy(head(last), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss) * len(labels)
        return order["epochs"] * rows, total / rows

    return run


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    work(runs(load))
