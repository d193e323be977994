"""`Explanation`: how much each word of a text adds to an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_seqzoo.explanation.words import JOINT, Pieces

if TYPE_CHECKING:
    from keras_seqzoo.explanation.counterfactual import Counterfactual

# Fields that had other names in older files.
_RENAMED = {"classes": "names", "probabilities": "outputs", "class_scores": "all_scores"}


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each token of a text, or of a pair of texts, adds to an answer.

    The two texts of a pair are one string here, the second on its own line. The numbers of an
    answer are probabilities, or numbers in the user's unit if the model predicts numbers.

    Attributes:
        text: the user's text, unchanged; for a pair the first text, a line break, and the second.
        spans: `(start, end)` of each token in the characters of `text`, in order, without overlap.
        scores: float64 `(tokens,)`, what each token adds to the number of `target`.
        target: the class, label or number that is explained.
        names: all classes, labels or numbers, in the order of the model's outputs.
        outputs: float64 `(names,)`, the model's answer to `text`.
        base: the number of `target` without any token (occlusion and Shapley: one or two empty
            texts; integrated gradients: all embeddings zero).
        method: `"occlusion"`, `"shapley"` or `"integrated_gradients"`.
        errors: float64 `(tokens,)`, standard errors of the scores; None if they are exact.
        all_scores: float64 `(tokens, names)`, the scores for every name; None if the method
            computes only those of the target.
        convergence: pairs of effort (evaluations or steps so far) and the error then; () if the
            method does not converge in steps.
        rest: the score that integrated gradients give to special tokens, which are not part of
            the text.
        cut_at: the first character that the model does not read, for a pair in the first text;
            None if it reads all, or if this is not known. Tokens from there on have the score 0.
        note: one more sentence for the reader; "" if there is none.
        second_at: the character of `text` where the second text of a pair starts; None without
            one.
        second_cut_at: like `cut_at`, for the second text of a pair, in characters of `text`.
        outcome: what the numbers are: `"probability"`, or another, such as `"number"`.
        spread: the size of a large score: 1 for a probability; for a number its standard
            deviation over the training rows, if that is known.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    scores: np.ndarray
    target: str
    names: tuple[str, ...]
    outputs: np.ndarray
    base: float
    method: str
    errors: np.ndarray | None = None
    all_scores: np.ndarray | None = field(default=None, repr=False)
    convergence: tuple[tuple[int, float], ...] = field(default=(), repr=False)
    rest: float = 0.0
    cut_at: int | None = None
    note: str = ""
    second_at: int | None = None
    second_cut_at: int | None = None
    outcome: str = "probability"
    spread: float = 1.0

    @property
    def tokens(self) -> list[str]:
        """The tokens as the user wrote them."""
        return [self.text[start:end] for start, end in self.spans]

    @property
    def texts(self) -> tuple[str, ...]:
        """The text, or both of a pair."""
        if self.second_at is None:
            return (self.text,)
        return self.text[: self.second_at - len(JOINT)], self.text[self.second_at :]

    @property
    def pieces(self) -> Pieces:
        """The text with its tokens, to leave some out."""
        cuts = (self.cut_at, self.second_cut_at)[: len(self.texts)]
        return Pieces(self.texts, self.spans, cuts)

    @property
    def output(self) -> float:
        """The number of `target` for the text."""
        return float(self.outputs[self.names.index(self.target)])

    @property
    def probability(self) -> float:
        """The same, for answers that are probabilities."""
        return self.output

    @property
    def classes(self) -> tuple[str, ...]:
        """The names, for answers that are classes or labels."""
        return self.names

    @property
    def probabilities(self) -> np.ndarray:
        """The outputs, for answers that are probabilities."""
        return self.outputs

    @property
    def class_scores(self) -> np.ndarray | None:
        """The same as `all_scores`."""
        return self.all_scores

    @property
    def decimals(self) -> int:
        """How many decimals of a score are worth showing."""
        return max(0, 3 - math.floor(math.log10(self.spread)))

    def counterfactual(self, model: Any, **options: Any) -> Counterfactual | None:
        """Finds the smallest deletion that changes the model's answer: see `counterfactual`."""
        from keras_seqzoo.explanation.counterfactual import counterfactual

        return counterfactual(model, self.pieces.whole, **options)

    def as_dict(self) -> dict[str, Any]:
        """Returns everything in plain lists and numbers, ready for JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Explanation:
        """Makes an explanation from what `as_dict` returned, also after JSON.

        Raises:
            ValueError: a field is missing or unknown.
        """
        arrays = ("scores", "outputs", "errors", "all_scores")
        made = {_RENAMED.get(name, name): value for name, value in values.items()}
        try:
            made.update(
                spans=tuple((int(start), int(end)) for start, end in made["spans"]),
                names=tuple(made["names"]),
                convergence=tuple((int(at), float(e)) for at, e in made.get("convergence", ())),
            )
            for name in arrays:
                if made.get(name) is not None:
                    made[name] = np.asarray(made[name], np.float64)
            if made.get("all_scores") is not None:  # without tokens, the second dimension is lost
                made["all_scores"] = made["all_scores"].reshape(-1, len(made["names"]))
            if len(made["scores"]) != len(made["spans"]) or made["target"] not in made["names"]:
                raise TypeError("one score a span, and a target that is a name")
            return cls(**made)
        except (KeyError, TypeError) as error:
            raise ValueError(
                "An explanation is made of the fields that as_dict returns. "
                f"Received: {sorted(values)}: {error}"
            ) from error

    def to_html(self) -> str:
        """Returns the texts with their words highlighted, as HTML to put in a page."""
        from keras_seqzoo.explanation.rendering import fragment

        return str(fragment(self))

    def _repr_html_(self) -> str:
        return self.to_html()

    def __rich__(self) -> Any:
        """The text for a terminal, in colours and with the scores of the most important words."""
        from keras_seqzoo.explanation.rendering import terminal

        return terminal(self)

    def __str__(self) -> str:
        """The same without colours."""
        from keras_seqzoo.explanation.rendering import terminal

        return str(terminal(self))
