"""Results as `compare` makes them, of random answers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd

from keras_seqzoo.data.targets import AnyOf, Number, OneOf
from keras_seqzoo.evaluation.data_summary import DataSummary
from keras_seqzoo.evaluation.results import Costs, Entry, Results, Run
from keras_seqzoo.explanation.explanation import Explanation
from keras_seqzoo.tasks.classify import Classify
from keras_seqzoo.tasks.label import Label
from keras_seqzoo.tasks.regress import Regress

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
    is_pair=False,
):
    """Returns results; `skills` says how good each model is, 0 being a guess."""
    labels = np.arange(rows) % len(classes)

    def answer(rng, skill):
        logits = rng.normal(size=(rows, len(classes)))
        logits[np.arange(rows), labels] += skill
        odds = np.exp(2 * logits)
        return odds / odds.sum(axis=1, keepdims=True)

    return _results(
        Classify(OneOf(tuple(classes))), labels, answer, models, seeds, skills, missing, title,
        is_pair, {"majority": np.full((rows, len(classes)), 1 / len(classes))} if baselines else {},
    )  # fmt: skip


def make_label_results(
    names=("toxic", "insult", "threat"),
    models=("lstm", "gru"),
    rows=120,
    seeds=2,
    baselines=True,
    skills=None,
    missing=("gpt2",),
    title="comments.csv",
    is_pair=False,
):
    """The same for several labels a text, the later ones rarer."""
    rng = np.random.default_rng(1)
    labels = (rng.random((rows, len(names))) < np.linspace(0.5, 0.1, len(names))).astype(np.float32)

    def answer(rng, skill):
        return 1 / (1 + np.exp(-(2 * skill * (labels - 0.5) + rng.normal(size=labels.shape))))

    task = Label(AnyOf(tuple(names)), (0.4,) * len(names))
    none = {"majority": np.full(labels.shape, 0.1)} if baselines else {}
    return _results(task, labels, answer, models, seeds, skills, missing, title, is_pair, none)


def make_number_results(
    names=("score",),
    models=("lstm", "gru"),
    rows=120,
    seeds=2,
    baselines=True,
    skills=None,
    missing=("gpt2",),
    title="similar.csv",
    is_pair=False,
    scale=1.0,
):
    """The same for numbers around `3 * scale`."""
    rng = np.random.default_rng(1)
    labels = (scale * (3 + rng.normal(size=(rows, len(names))))).astype(np.float32)

    def answer(rng, skill):
        return labels + scale * rng.normal(size=labels.shape) / (0.5 + skill)

    std = (scale,) * len(names)
    task = Regress(Number(tuple(names)), tuple(3 * s for s in std), std)
    none = {"mean": np.full(labels.shape, 3.0 * scale)} if baselines else {}
    return _results(task, labels, answer, models, seeds, skills, missing, title, is_pair, none)


def _results(task, labels, answer, models, seeds, skills, missing, title, is_pair, baselines):
    rng = np.random.default_rng(0)
    texts = [_text(rng) for _ in labels]
    if is_pair:
        texts = np.array([[text, _text(rng)] for text in texts], dtype=object)
    skills = skills or [2.0 - 0.3 * i for i in range(len(models))]
    entries = [
        _entry(rng, label, task, labels, texts, answer, skill, seeds, 10.0 * (i + 1))
        for i, (label, skill) in enumerate(zip(models, skills, strict=True))
    ]
    entries += [Entry(label, missing=REASON) for label in missing]
    entries += [
        Entry(label, is_baseline=True, runs=[Run(0, outputs)])
        for label, outputs in baselines.items()
    ]
    if baselines:
        tfidf = _entry(rng, "tfidf_logistic", task, labels, texts, answer, 1.0, 1, 0.5)
        entries.append(replace(tfidf, is_baseline=True))
    return Results(
        title=title,
        task=task,
        texts=texts,
        labels=labels,
        entries=entries,
        data=_data(task, len(labels), is_pair),
        environment={"TensorFlow": "2.20.0"},
        commands=["keras-seqzoo compare reviews.csv --models lstm,gru"],
        settings={"seeds": "0, 1"},
        seconds=93.0,
    )


def _text(rng):
    return " ".join(rng.choice(WORDS, rng.integers(1, 30)))


def _entry(rng, label, task, labels, texts, answer, skill, seeds, cost):
    runs = []
    for seed in range(seeds):
        history = {"loss": [0.9, 0.5, 0.3], "val_loss": [0.8, 0.6, 0.6 - seed / 10]}
        runs.append(Run(seed, answer(rng, skill), 0.6 - seed / 10, history, 12.5))
    entry = Entry(label, "one layer", options={"units": 8}, runs=runs, texts_cut=7)
    answers = entry.kept.outputs
    scores = task.row_scores(labels, answers)
    wrong = np.flatnonzero(scores < scores.max())[:2].tolist()
    explained = [(i, _explanation(texts[i], task, answers[i])) for i in wrong[:1]]
    return replace(
        entry,
        mistakes=[*explained, *[(i, None) for i in wrong[1:]]],
        costs=Costs(2_600_000, cost, 500.0, cost, cost / 2, cost, 900.0, 800.0),
        sequence_length=16,
    )


def _explanation(text, task, answer):
    if not isinstance(text, str):
        return None
    spans = tuple(match.span() for match in re.finditer(r"\S+", text))
    scores = np.linspace(-0.4, 0.5, len(spans))
    target = task.names[int(answer.argmax())]
    return Explanation(text, spans, scores, target, task.names, answer, 0.5, "occlusion")


def _data(task, rows, is_pair):
    columns = {"rows": rows, "empty": 1, "duplicates": 2, "conflicts": 0}
    columns |= {"words_median": 14.5, "words_p95": 28.0, "words_max": 29}
    columns |= {"characters_median": 70.0, "characters_max": 200}
    parts = pd.DataFrame([columns] * 3, index=["train", "valid", "test"])
    each = rows // max(len(task.classes), 1)
    counts = pd.DataFrame(dict.fromkeys(parts.index, each), index=list(task.classes))
    figures = ["part", "name", "min", "median", "max", "mean", "std"]
    numbers = [
        [part, name, -0.5, 3.01, 6.2, 2.98, 1.02]
        for part in parts.index
        for name in ([] if task.classes else task.names)
    ]
    return DataSummary(
        parts,
        counts,
        {"train and test": 3},
        ("a <i>film</i> | a second" if is_pair else "a <i>film</i>",),
        ("The parts train and test share 3 texts.",),
        pd.DataFrame(numbers, columns=figures),
    )
