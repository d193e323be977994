"""The PyTorch peer of `serving_speed.py`, which starts it; needs torch and transformers only."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    BertForTokenClassification,
    pipeline,
)


def load(checkpoint: str, head: str) -> Any:
    """A pipeline of the checkpoint's encoder, a BERT's, under the given head."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    arrays = np.load(head)
    tags = ["O", *(f"{letter}-{kind}" for kind in arrays["types"] for letter in "BI")]
    if len(tags) > 1:
        model = BertForTokenClassification.from_pretrained(
            checkpoint, id2label=dict(enumerate(tags)), label2id={t: i for i, t in enumerate(tags)}
        )
    else:
        model = BertForSequenceClassification.from_pretrained(checkpoint, num_labels=2)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(arrays["kernel"].T))
        model.classifier.bias.copy_(torch.from_numpy(arrays["bias"]))
    if len(tags) > 1:
        return pipeline(
            "token-classification",
            model=model,
            tokenizer=tokenizer,
            device="cpu",
            aggregation_strategy="first",
        )
    return pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")


def main(checkpoint: str) -> None:
    """Does what each line of standard input says, and answers in one of JSON."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        begun = time.perf_counter()
        if order["do"] == "load":
            pipe = load(checkpoint, order["head"])
            print(json.dumps({"seconds": time.perf_counter() - begun}), flush=True)
            continue
        texts, size = order["texts"], order["batch"]
        times, answers = [], []
        for start in range(0, len(texts), size):
            begun = time.perf_counter()
            some = texts[start : start + size]
            if pipe.task == "token-classification":
                rows = pipe(some, batch_size=size)
                times.append(time.perf_counter() - begun)
                answers += [
                    [(p["entity_group"], p["start"], p["end"]) for p in row] for row in rows
                ]
                continue
            rows = pipe(some, batch_size=size, top_k=None, truncation=True)
            times.append(time.perf_counter() - begun)
            for row in rows:
                scores = {one["label"]: one["score"] for one in row}
                answers.append([scores["LABEL_0"], scores["LABEL_1"]])
        print(json.dumps({"times": times, "answers": answers}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
