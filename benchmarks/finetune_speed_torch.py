"""The PyTorch peer of `finetune_speed.py`, which starts it; needs torch and transformers only."""

from __future__ import annotations

import sys

import numpy as np
import torch
from transformers import AutoModel


def main(checkpoint: str, file: str, rate: float) -> None:
    """Trains over the batches of `file` at every line on standard input, then says `done`."""
    arrays = np.load(file)
    batches = [
        [torch.from_numpy(arrays[f"{kind}{i}"]).long() for kind in ("ids", "mask", "labels")]
        for i in range(len(arrays) // 3)
    ]
    bert = AutoModel.from_pretrained(checkpoint)
    head = torch.nn.Linear(bert.config.hidden_size, 2)
    decayed, spared = [], []
    for name, parameter in [*bert.named_parameters(), *head.named_parameters()]:
        (spared if "bias" in name or "LayerNorm" in name else decayed).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": spared, "weight_decay": 0.0}],
        lr=rate, eps=1e-6,
    )  # fmt: skip
    bert.train()
    for _ in sys.stdin:
        for ids, mask, labels in batches:
            output = bert(input_ids=ids, attention_mask=mask)
            # DistilBERT has no pooler.
            pooled = getattr(output, "pooler_output", output.last_hidden_state[:, 0])
            logits = head(torch.nn.functional.dropout(pooled, 0.1))
            loss = torch.nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*decayed, *spared], 1.0)
            optimizer.step()
        print("done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
