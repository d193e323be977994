"""The PyTorch peer of `serving_speed.py`, which starts it; needs torch and transformers only."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline


def load(checkpoint: str, head: str) -> Any:
    """A pipeline of the checkpoint's encoder and pooler, a BERT's, under the given head."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = BertForSequenceClassification.from_pretrained(checkpoint, num_labels=2)
    arrays = np.load(head)
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(arrays["kernel"].T))
        model.classifier.bias.copy_(torch.from_numpy(arrays["bias"]))
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
            rows = pipe(texts[start : start + size], batch_size=size, top_k=None, truncation=True)
            times.append(time.perf_counter() - begun)
            for row in rows:
                scores = {one["label"]: one["score"] for one in row}
                answers.append([scores["LABEL_0"], scores["LABEL_1"]])
        print(json.dumps({"times": times, "answers": answers}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
