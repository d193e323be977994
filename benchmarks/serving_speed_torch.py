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
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    pipeline,
)


def load(checkpoint: str, head: str) -> Any:
    """A pipeline of the checkpoint's encoder, a BERT's, under the given head."""
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    arrays = np.load(head)
    if len(arrays["windows"]):
        return answering(checkpoint, tokenizer, arrays)
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


def answering(checkpoint: str, tokenizer: Any, arrays: Any) -> Any:
    """A pipeline that answers questions, whose windows are as far from each other as ours."""
    from transformers import QuestionAnsweringPipeline  # up to version 4

    length, stride = arrays["windows"].tolist()
    overlap = length - tokenizer.num_special_tokens_to_add(pair=True) - stride

    class SameWindows(QuestionAnsweringPipeline):  # type: ignore[misc]
        """Ours begin at every `stride`th token of a context; here they overlap by a number."""

        overlaps: dict[str, int] = {}  # noqa: RUF012 - by question, made before the clock runs

        def preprocess(self, example: Any, **options: Any) -> Any:
            options["doc_stride"] = self.overlaps[example.question_text]
            return super().preprocess(example, **options)

        def prepare(self, rows: list[list[str]]) -> None:
            """Makes the overlaps of some questions."""
            for question, _ in rows:
                self.overlaps[question] = overlap - len(tokenizer.tokenize(question))

    model = BertForQuestionAnswering.from_pretrained(checkpoint)
    with torch.no_grad():
        model.qa_outputs.weight.copy_(torch.from_numpy(arrays["kernel"].T))
        model.qa_outputs.bias.zero_()
    return pipeline(
        "question-answering",
        model=model,
        tokenizer=tokenizer,
        device="cpu",
        pipeline_class=SameWindows,
        max_seq_len=length,
        max_answer_len=30,
    )


def by_words(pipe: Any, question: str, context: str) -> tuple[int, int]:
    """The likeliest span of at most 30 words, told by their first pieces, in any window."""
    best = (-np.inf, 0, 0)
    example = pipe.create_sample(question, context)
    for window in pipe.preprocess(example, **pipe._preprocess_params):
        pieces = window["encoding"]
        with torch.no_grad():
            out = pipe.model(**{name: window[name] for name in pipe.tokenizer.model_input_names})
        places = [
            at
            for at, (token, side) in enumerate(zip(pieces.tokens, pieces.sequence_ids, strict=True))
            if side == 1 and not token.startswith("##")
        ]
        begins, ends = (
            torch.log_softmax(scores[0, [0, *places]], 0)[1:]
            for scores in (out.start_logits, out.end_logits)
        )
        spans = begins[:, None] + ends
        allowed = torch.ones_like(spans).triu().tril(29) > 0
        spans = spans.where(allowed, -torch.inf)
        first, last = divmod(int(spans.argmax()), len(places))
        words = [pieces.token_to_word(places[at]) for at in (first, last)]
        start, end = (pieces.word_to_chars(word, 1) for word in words)
        best = max(best, (float(spans[first, last]), start[0], end[1]), key=lambda found: found[0])
    return best[1:]


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
        if order["do"] == "ask by words":
            pipe.prepare(order["texts"])
            print(json.dumps([by_words(pipe, *row) for row in order["texts"]]), flush=True)
            continue
        texts, size = order["texts"], order["batch"]
        if pipe.task == "question-answering":
            pipe.prepare(texts)
        times, answers = [], []
        for start in range(0, len(texts), size):
            begun = time.perf_counter()
            some = texts[start : start + size]
            if pipe.task == "question-answering":
                questions, contexts = map(list, zip(*some, strict=True))
                rows = pipe(question=questions, context=contexts, batch_size=size)
                times.append(time.perf_counter() - begun)
                rows = rows if isinstance(rows, list) else [rows]
                answers += [[row["start"], row["end"]] for row in rows]
                continue
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
