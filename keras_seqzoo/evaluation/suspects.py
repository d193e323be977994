"""`suspects`: doubtful labels and near-duplicate texts; `most_uncertain`: texts to label next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from keras_seqzoo.checks import check_whole
from keras_seqzoo.data.splitting import check_seed
from keras_seqzoo.data.table import TextTable

_CELLS = 20_000_000  # similarities in memory at once
_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Suspects:
    """Likely problems of the rows of a table. Rows are numbered from 0.

    Attributes:
        labels: rows with a doubtful label, the worst first. Columns: `row`, `text`, `label`,
            `likely` (the class that is likelier), `of_label` and `of_likely` (their
            probabilities, from a model that has not learnt the row).
        duplicates: pairs of rows whose texts are nearly the same, the most similar first; for each
            row the first similar one. Columns: `row`, `like` (the earlier row), `similarity` (0
            to 1), `text`, `text_like`, and with labels `label` and `label_like`.
        leaks: the same for rows of the other table: `row` is a row there, `like` a row here.
        rows: number of rows of the table.
        accuracy: accuracy of the judging model on the given labels; None without labels.
        unchecked: the kind of the labels if they are not classes, and so were not checked.
    """

    labels: pd.DataFrame
    duplicates: pd.DataFrame
    leaks: pd.DataFrame
    rows: int
    accuracy: float | None
    unchecked: str | None = None

    @property
    def conflicts(self) -> pd.DataFrame:
        """The duplicates with different labels."""
        found = self.duplicates
        return found[found["label"] != found["label_like"]] if "label" in found else found.iloc[:0]

    def as_dict(self) -> dict[str, Any]:
        """Returns everything in plain lists and numbers, ready for JSON."""
        frames = {name: getattr(self, name) for name in ("labels", "duplicates", "leaks")}
        found: dict[str, Any] = {name: f.to_dict("records") for name, f in frames.items()}
        told = {"rows": self.rows, "accuracy": self.accuracy, "unchecked": self.unchecked}
        return {**told, **found}

    def __str__(self) -> str:
        """Counts, and the worst rows of each kind."""
        lines = [f"{self.rows:,} rows"]
        if self.accuracy is not None:
            lines[0] += f"; a model that has not learnt them says the label of {self.accuracy:.1%}"
        if self.unchecked:
            lines[0] += (
                "; labels are checked where each row has one class, "
                f"these are of the kind {self.unchecked!r}"
            )
        for title, frame, told in (
            ("Labels that the model doubts, the worst first", self.labels, _told_label),
            ("Texts that are nearly the same", self.duplicates, _told_pair),
            ("Test texts that training rows hold", self.leaks, _told_pair),
        ):
            if title.startswith("Labels") and self.accuracy is None:
                continue
            lines.append(f"\n{title}: {len(frame):,}")
            lines += [told(row) for row in frame.head(_SHOWN).to_dict("records")]
            if len(frame) > _SHOWN:
                lines.append(f"  … and {len(frame) - _SHOWN:,} more")
        return "\n".join(lines)


def suspects(
    table: TextTable,
    model: Any = None,
    *,
    test: TextTable | None = None,
    folds: int = 5,
    similarity: float = 0.9,
    seed: int = 0,
) -> Suspects:
    """Finds labels that are doubtful, texts that are nearly the same, and leaks.

    A label is doubtful if a model that did not learn the row finds another class likelier. The
    worst has the lowest probability of its label (self-confidence, Kuan and Mueller 2022,
    Model-Agnostic Label Quality Scoring to Detect Real-World Label Errors). The model errs, too:
    read the first rows, and stop when the labels are right. Confident learning's means of each
    class (Northcutt et al. 2021) found fewer of the flipped labels in benchmarks/wrong_labels.py.

    The similarity of texts is the cosine of their TF-IDF over lower-cased words and word pairs.

    Args:
        table: the rows, of texts or pairs; labels are checked if each row has one class.
        model: the model that judges the labels: an object whose `predict(texts)` returns
            probabilities `(rows, classes)`, which has not learnt these rows; by default TF-IDF
            with logistic regression, by cross-validation.
        test: other rows, which must not hold texts of the table.
        folds: folds of the cross-validation; at most the rows of the rarest class.
        similarity: least similarity of texts that are nearly the same, above 0 and at most 1.
        seed: random seed of the folds.

    Returns:
        `Suspects`.

    Raises:
        ValueError: a model for labels that are not classes, a class with one row, or a value out
            of its range.

    Example:
        >>> table = TextTable.from_texts(["a fine film", "poor", "A fine film"])
        >>> suspects(table).duplicates[["row", "like"]].to_numpy().tolist()
        [[2, 0]]
    """
    check_whole(folds=folds)
    check_seed(seed)
    if not 0 < similarity <= 1:
        raise ValueError(
            "`similarity` must lie above 0, and not above 1, where texts have the same words. "
            f"Received: similarity={similarity!r}"
        )
    texts = _texts(table)
    labels, accuracy = _labels(table, texts, model, folds, seed)
    names = _names(table)
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]"
    )
    vectors = vectorizer.fit_transform(["_", *texts])[1:]  # at least one word, for empty texts
    duplicates = _pairs(_alike(vectors, vectors, similarity, True), texts, texts, names, names)
    found, others, theirs = [], [], names
    if test is not None:
        others, theirs = _texts(test), _names(test)
        found = _alike(vectorizer.transform(others), vectors, similarity, False)
    leaks = _pairs(found, others, texts, theirs, names)
    target = None if accuracy is not None or table.labels is None else table.target
    unchecked = None if target is None else target.kind
    return Suspects(labels, duplicates, leaks, len(table), accuracy, unchecked)


def doubted(
    labels: npt.NDArray[Any], probabilities: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows for which another class is likelier than their label, the worst first, and that class.

    Args:
        labels: positions of classes, int `(rows,)`.
        probabilities: answers of a model that has not learnt the rows, `(rows, classes)`.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    best = probabilities.argmax(axis=1)
    rows = np.flatnonzero(best != labels)
    order = rows[np.argsort(probabilities[rows, labels[rows]], kind="stable")]
    return order, best[order]


def most_uncertain(model: Any, texts: Any, k: int = 10) -> pd.DataFrame:
    """The texts that a classifier is least sure about: labels for these help it most.

    Margin sampling (Scheffer, Decomain and Wrobel 2001): texts whose two likeliest classes have
    the closest probabilities.

    Args:
        model: a classifier, with `classes` and `predict`.
        texts: strings, or pairs, or a table; labels are ignored.
        k: number of texts.

    Returns:
        Columns `row` (from 0), `text`, `label` (the likeliest class), `probability`, `margin`; the
        least sure first.

    Raises:
        ValueError: a model that does not answer with probabilities of classes.
    """
    check_whole(k=k)
    asked = texts.questions if hasattr(texts, "questions") else texts
    found = np.asarray(model.predict(asked, verbose=0))
    classes = getattr(model, "classes", None)
    if classes is None or found.ndim != 2 or found.shape[1] != len(classes) or len(classes) < 2:
        raise ValueError(
            "A classifier must answer with the probabilities of its classes. Pass a classifier. "
            f"Received: a {type(model).__name__}, which answers {found.dtype} of {found.shape}"
        )
    ordered = np.sort(found, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    rows = np.argsort(margin, kind="stable")[:k]
    shown = [t if isinstance(t, str) else " | ".join(map(str, t)) for t in (asked[r] for r in rows)]
    return pd.DataFrame(
        {
            "row": rows,
            "text": shown,
            "label": [classes[at] for at in found[rows].argmax(axis=1)],
            "probability": found[rows].max(axis=1),
            "margin": margin[rows],
        }
    )


def _labels(
    table: TextTable, texts: list[str], model: Any, folds: int, seed: int
) -> tuple[pd.DataFrame, float | None]:
    """Suspect labels and the accuracy; no rows and None if there are no labels."""
    columns = ["row", "text", "label", "likely", "of_label", "of_likely"]
    if table.labels is None or table.target is None:
        return pd.DataFrame(columns=columns), None
    if table.target.kind != "class":
        if model is None:
            return pd.DataFrame(columns=columns), None
        raise ValueError(
            "`model` can judge labels only if each row has one class. Leave it out. "
            f"Received: labels of the kind {table.target.kind!r}"
        )
    labels = np.asarray(table.labels)
    if model is None:
        counts = np.bincount(labels)
        rarest = int(np.min(counts[counts > 0]))
        if rarest < 2 or folds < 2:
            name = table.classes[int(np.argmin(np.where(counts > 0, counts, len(labels))))]
            raise ValueError(
                "Cross-validation needs two folds, and two rows of each class. Leave the class "
                f"out, or pass a model. Received: folds={folds}, {rarest} row of {name!r}"
            )
        linear = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            LogisticRegression(C=10, max_iter=1000),
        )
        cut = StratifiedKFold(min(folds, rarest), shuffle=True, random_state=seed)
        found = cross_val_predict(linear, texts, labels, cv=cut, method="predict_proba")
        present = np.unique(labels)
        given = np.zeros((len(labels), len(table.classes)))
        given[:, present] = found
    else:
        given = np.asarray(model.predict(table.questions, verbose=0))
        if given.shape != (len(labels), len(table.classes)):
            raise ValueError(
                "The model must know the classes of the table, in their order. Read the table with "
                f"classes=model.classes. Received: {given.shape[1:]} probabilities a row, "
                f"{len(table.classes)} classes"
            )
    rows, likely = doubted(labels, given)
    accuracy = float((given.argmax(axis=1) == labels).mean())
    values = (
        rows,
        [texts[row] for row in rows],
        [table.classes[labels[row]] for row in rows],
        [table.classes[at] for at in likely],
        given[rows, labels[rows]],
        given[rows, likely],
    )
    return pd.DataFrame(dict(zip(columns, values, strict=True))), accuracy


def _alike(rows: Any, others: Any, similarity: float, same: bool) -> list[tuple[int, int, float]]:
    """For each row the first similar other row, which is earlier if both are of the same table."""
    found = []
    size = max(1, _CELLS // max(others.shape[0], 1))
    for start in range(0, rows.shape[0], size):
        near = (rows[start : start + size] @ others.T).tocsr()
        near.data[near.data < similarity - 1e-9] = 0
        near.eliminate_zeros()
        near.sort_indices()
        for at in range(near.shape[0]):
            part = slice(near.indptr[at], near.indptr[at + 1])
            if near.indptr[at] == near.indptr[at + 1]:
                continue
            first = int(near.indices[part][0])
            if not same or first < start + at:
                found.append((start + at, first, min(float(near.data[part][0]), 1.0)))
    return sorted(found, key=lambda one: (-one[2], one[0]))


def _pairs(
    found: list[tuple[int, int, float]],
    texts: list[str],
    others: list[str],
    names: list[str] | None,
    names_of_others: list[str] | None,
) -> pd.DataFrame:
    made = pd.DataFrame(found, columns=["row", "like", "similarity"])
    made["text"] = [texts[row] for row in made["row"]]
    made["text_like"] = [others[row] for row in made["like"]]
    if names is not None and names_of_others is not None:
        made["label"] = [names[row] for row in made["row"]]
        made["label_like"] = [names_of_others[row] for row in made["like"]]
    return made


def _texts(table: TextTable) -> list[str]:
    if not isinstance(table, TextTable):
        raise TypeError(
            "`suspects` looks at a TextTable, as read_table returns it. "
            f"Received: {type(table).__name__}"
        )
    return [q if isinstance(q, str) else " | ".join(q) for q in table.questions]


def _names(table: TextTable) -> list[str] | None:
    if table.labels is None or table.target is None or table.target.kind != "class":
        return None
    return [table.classes[label] for label in table.labels]


def _told_label(row: Mapping[Any, Any]) -> str:
    return (
        f"  row {row['row']:,}: {row['label']}, likely {row['likely']} "
        f"({row['of_label']:.2f} and {row['of_likely']:.2f}): {_short(row['text'])}"
    )


def _told_pair(row: Mapping[Any, Any]) -> str:
    labels = f" ({row['label']} and {row['label_like']})" if "label" in row else ""
    rows = f"{row['row']:,} and {row['like']:,}, {row['similarity']:.2f}"
    return f"  rows {rows}{labels}: {_short(row['text'])}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:69] + "…"
