"""The PyTorch peers of `generation.py`, which starts them in the environment of `make_env.sh`."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2LMHeadModel
from turns import Run, runs, work


def writing(model: Any, order: dict[str, Any]) -> Run:
    """Tokens after the prompts; what comes of it is what is written."""
    prompts = torch.tensor(order["ids"])

    def run() -> tuple[int, Any]:
        with torch.inference_mode():
            written = model.generate(
                prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
                max_new_tokens=order["new"], min_new_tokens=order["new"], pad_token_id=0,
                use_cache=True,
            )  # fmt: skip
        new = written[:, prompts.shape[1] :]
        return new.numel(), new.tolist()

    return run


def padded(rows: list[list[int]], *, left: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of rows, padded to the longest."""
    ids, mask = (
        torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row) for row in side], batch_first=True,
            padding_side="left" if left else "right",
        )
        for side in (rows, [[1] * len(row) for row in rows])
    )  # fmt: skip
    return ids, mask


def by_prompt(model: Any, prompts: list[list[int]], answers: list[list[int]]) -> torch.Tensor:
    """Log-probabilities of answers of one token, of one reading of each prompt."""
    ids, mask = padded(prompts, left=True)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=1, use_cache=False
    ).logits
    return torch.log_softmax(logits[:, -1], -1)[:, [answer[0] for answer in answers]]


def by_answer(model: Any, prompts: list[list[int]], answers: list[list[int]]) -> torch.Tensor:
    """Log-probabilities of all tokens of the answers, each read after its prompt."""
    columns = []
    for answer in answers:
        ids, mask = padded([prompt + answer for prompt in prompts], left=False)
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        found = torch.log_softmax(logits[:, :-1], -1).gather(2, ids[:, 1:, None])[..., 0]
        ends = [(len(prompt) - 1, len(prompt) - 1 + len(answer)) for prompt in prompts]
        sums = [row[slice(*end)].sum() for row, end in zip(found, ends, strict=True)]
        columns.append(torch.stack(sums))
    return torch.stack(columns, 1)


def scoring(model: Any, order: dict[str, Any], once: bool) -> Run:
    """Raw texts to the probabilities of the answers."""
    folder = Path(order["checkpoint"])
    tokenizer = ByteLevelBPETokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    answers = [tokenizer.encode(f" {answer}").ids for answer in order["answers"]]
    if once and max(map(len, answers)) > 1:
        raise ValueError(f"Each answer must be one token. Received: {answers}")
    score = by_prompt if once else by_answer

    def run() -> tuple[int, Any]:
        texts = [order["before"] + text + order["after"] for text in order["texts"]]
        prompts = [row.ids for row in tokenizer.encode_batch(texts)]
        in_order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
        found = torch.zeros(len(prompts), len(answers))
        with torch.inference_mode():
            for start in range(0, len(prompts), order["batch"]):
                some = in_order[start : start + order["batch"]]
                found[some] = score(model, [prompts[at] for at in some], answers)
        return len(found), torch.softmax(found, -1).tolist()

    return run


def load(kind: str, order: dict[str, Any]) -> Run:
    """Writing or scoring, as the order is."""
    model = GPT2LMHeadModel.from_pretrained(order["checkpoint"]).eval()
    if "ids" in order:
        return writing(model, order)
    return scoring(model, order, once="," not in kind)


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    work(runs(partial(load, sys.argv[1])))
