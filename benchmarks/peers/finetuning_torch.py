"""The PyTorch peers of `finetuning.py`, which starts them in the environment of `make_env.sh`."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import AutoModel
from turns import Run, runs, work

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def batches_of(kind: str, order: dict[str, Any], arrays: Any) -> list[Batch]:
    """Ids, mask and labels, in the order and with the padding of that kind."""
    how = "random" if "," in kind else "like"
    batches = []
    for i in range(sum(name.startswith(f"{how}_ids") for name in arrays)):
        ids, mask, labels = (
            torch.from_numpy(arrays[f"{how}_{part}{i}"]).long()
            for part in ("ids", "mask", "labels")
        )
        if "tutorials" in kind:
            missing = order["max_length"] - ids.shape[1]
            ids, mask = (torch.nn.functional.pad(side, (0, missing)) for side in (ids, mask))
        batches.append((ids, mask, labels))
    return batches


def load(kind: str, order: dict[str, Any]) -> Run:
    """A pass over the batches; what comes of it is the mean loss."""
    arrays = np.load(order["file"])
    batches = batches_of(kind, order, arrays)
    encoder = AutoModel.from_pretrained(order["checkpoint"])
    head = torch.nn.Linear(*arrays["kernel"].shape)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(arrays["kernel"].T))
        head.bias.copy_(torch.from_numpy(arrays["bias"]))
    decayed, spared = [], []
    for name, parameter in [*encoder.named_parameters(), *head.named_parameters()]:
        (spared if "bias" in name or "norm" in name.lower() else decayed).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": spared, "weight_decay": 0.0}],
        lr=float(arrays["rate"]), eps=1e-6, fused=True,
    )  # fmt: skip
    encoder.train()

    def train() -> tuple[int, float]:
        total, rows = 0.0, 0
        for ids, mask, labels in batches:
            vectors = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            real = mask[..., None].float()
            mean = (vectors * real).sum(1) / real.sum(1)
            logits = head(torch.nn.functional.dropout(mean, 0.1))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*decayed, *spared], 1.0)
            optimizer.step()
            total += float(loss)
            rows += len(labels)
        return rows, total / len(batches)

    return train


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    work(runs(partial(load, sys.argv[1])))
