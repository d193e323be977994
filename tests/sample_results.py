"""Results as `compare` makes them, of random answers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.evaluation.data_summary import DataSummary
from keras_seqzoo.evaluation.results import Costs, Entry, Results, Run
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.tasks.classify import Classify

REASON = "The process was ended for lack of memory in epoch 1."
WORDS = np.array(
    [
        "a",
        "good",
        "bad",
        "film",
        "never",
        "works",
        "<b>always</b>",
        "&",
        "dull",
        "“story”",
        "😀",
        "שלום",
    ]
)


def make_results(
    classes=("negative", "positive"),
    models=("lstm", "gru"),
    rows=120,
    seeds=2,
    baselines=True,
    skills=None,
    missing=("gpt2",),
    title="reviews.csv",
):
    """Returns results; `skills` says how good each model is, 0 being a guess."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % len(classes)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 30))) for _ in range(rows)]
    skills = skills or [2.0 - 0.3 * i for i in range(len(models))]
    entries = [
        _entry(rng, label, classes, labels, texts, skill, seeds, 10.0 * (i + 1))
        for i, (label, skill) in enumerate(zip(models, skills, strict=True))
    ]
    entries += [Entry(label, missing=REASON) for label in missing]
    if baselines:
        shares = np.full((rows, len(classes)), 1 / len(classes))
        entries.append(Entry("majority", is_baseline=True, runs=[Run(0, shares)]))
        tfidf = _entry(rng, "tfidf_logistic", classes, labels, texts, 1.0, 1, 0.5)
        entries.append(replace(tfidf, is_baseline=True))
    return Results(
        title=title,
        task=Classify(OneOf(tuple(classes))),
        texts=texts,
        labels=labels,
        entries=entries,
        data=_data(classes),
        environment={"TensorFlow": "2.20.0"},
        commands=["keras-seqzoo compare reviews.csv --models lstm,gru"],
        settings={"seeds": "0, 1"},
        seconds=93.0,
    )


def _entry(rng, label, classes, labels, texts, skill, seeds, cost):
    runs = []
    for seed in range(seeds):
        logits = rng.normal(size=(len(labels), len(classes)))
        logits[np.arange(len(labels)), labels] += skill
        odds = np.exp(2 * logits)
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        history = {"loss": [0.9, 0.5, 0.3], "val_loss": [0.8, 0.6, 0.6 - seed / 10]}
        runs.append(Run(seed, probabilities, 0.6 - seed / 10, history, 12.5))
    entry = Entry(label, "one layer", options={"units": 8}, runs=runs, texts_cut=7)
    answers = entry.kept.outputs
    wrong = np.flatnonzero(answers.argmax(axis=1) != labels)[:2]
    explained = [(int(i), _explanation(texts[i], classes, answers[i])) for i in wrong[:1]]
    return replace(
        entry,
        mistakes=[*explained, *[(int(i), None) for i in wrong[1:]]],
        costs=Costs(2_600_000, cost, 500.0, cost, cost / 2, cost, 900.0, 800.0),
        sequence_length=16,
    )


def _explanation(text, classes, answer):
    spans = tuple(match.span() for match in re.finditer(r"\S+", text))
    scores = np.linspace(-0.4, 0.5, len(spans))
    target = classes[int(answer.argmax())]
    return Explanation(text, spans, scores, target, tuple(classes), answer, 0.5, "occlusion")


def _data(classes):
    columns = {"rows": 120, "empty": 1, "duplicates": 2, "conflicts": 0}
    columns |= {"words_median": 14.5, "words_p95": 28.0, "words_max": 29}
    columns |= {"characters_median": 70.0, "characters_max": 200}
    parts = pd.DataFrame([columns] * 3, index=["train", "valid", "test"])
    counts = pd.DataFrame(dict.fromkeys(parts.index, 60), index=list(classes))
    warnings = ("The parts train and test share 3 texts.",)
    return DataSummary(parts, counts, {"train and test": 3}, ("a <i>film</i>",), warnings)
