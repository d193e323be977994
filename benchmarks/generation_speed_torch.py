"""The PyTorch peer of `generation_speed.py`, which starts it; needs torch and transformers only."""

from __future__ import annotations

import json
import sys

import torch
from transformers import GPT2LMHeadModel


def main(checkpoint: str) -> None:
    """Writes on from the prompts of every line on standard input."""
    model = GPT2LMHeadModel.from_pretrained(checkpoint).eval()
    for line in sys.stdin:
        ids, new = json.loads(line)
        prompts = torch.tensor(ids)
        with torch.inference_mode():
            written = model.generate(
                prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
                max_new_tokens=new, min_new_tokens=new, pad_token_id=0, use_cache=True,
            )  # fmt: skip
        print(json.dumps(written[:, prompts.shape[1] :].tolist()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
