"""`Explanation`: how much each word of a text adds to an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_seqzoo.explanation.counterfactual import Counterfactual


@dataclass(frozen=True, eq=False)
class Explanation:
    """How much each token of a text adds to the probability of a class.

    Attributes:
        text: the user's text, untouched.
        spans: `(start, end)` of each token in the characters of `text`, in order, apart.
        scores: float64 `(tokens,)`, what each token adds to the probability of `target`.
        target: the class that is explained.
        classes: class names in label order.
        probabilities: float64 `(classes,)`, the model's answer to `text`.
        base: probability of `target` without any token (occlusion and Shapley: the empty text;
            integrated gradients: all embeddings zero).
        method: `"occlusion"`, `"shapley"` or `"integrated_gradients"`.
        errors: float64 `(tokens,)`, standard errors of the scores; None where they are exact.
        class_scores: float64 `(tokens, classes)`, the same for every class; None where the method
            gives the target's alone.
        convergence: pairs of effort (evaluations or steps so far) and the error then; () where the
            method has nothing to converge.
        rest: what integrated gradients give to special tokens, which are no part of the text.
        cut_at: the character from which on the model reads nothing; None where it reads all, or
            where nobody can know. Tokens from there on have the score 0.
        note: what else a reader should know, in a sentence; "" where there is nothing.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    scores: np.ndarray
    target: str
    classes: tuple[str, ...]
    probabilities: np.ndarray
    base: float
    method: str
    errors: np.ndarray | None = None
    class_scores: np.ndarray | None = field(default=None, repr=False)
    convergence: tuple[tuple[int, float], ...] = field(default=(), repr=False)
    rest: float = 0.0
    cut_at: int | None = None
    note: str = ""

    @property
    def tokens(self) -> list[str]:
        """The tokens as the user wrote them."""
        return [self.text[start:end] for start, end in self.spans]

    @property
    def probability(self) -> float:
        """Probability of `target` for the text."""
        return float(self.probabilities[self.classes.index(self.target)])

    def counterfactual(self, model: Any, **options: Any) -> Counterfactual | None:
        """Finds the smallest deletion that changes the model's answer: see `counterfactual`."""
        from keras_seqzoo.explanation.counterfactual import counterfactual

        return counterfactual(model, self.text, **options)

    def as_dict(self) -> dict[str, Any]:
        """Returns everything in plain lists and numbers, ready for JSON."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Explanation:
        """Makes the explanation again from what `as_dict` returned, also after JSON.

        Raises:
            ValueError: a field is missing or unknown.
        """
        arrays = ("scores", "probabilities", "errors", "class_scores")
        made = dict(values)
        try:
            made.update(
                spans=tuple((int(start), int(end)) for start, end in made["spans"]),
                classes=tuple(made["classes"]),
                convergence=tuple((int(at), float(e)) for at, e in made.get("convergence", ())),
            )
            for name in arrays:
                if made.get(name) is not None:
                    made[name] = np.asarray(made[name], np.float64)
            if made.get("class_scores") is not None:  # no tokens leave no second dimension
                made["class_scores"] = made["class_scores"].reshape(-1, len(made["classes"]))
            if len(made["scores"]) != len(made["spans"]) or made["target"] not in made["classes"]:
                raise TypeError("one score a span, and a target that is a class")
            return cls(**made)
        except (KeyError, TypeError) as error:
            raise ValueError(
                "An explanation is made of the fields that as_dict returns. "
                f"Received: {sorted(values)}: {error}"
            ) from error

    def to_html(self) -> str:
        """Returns the text with its words highlighted, as a piece of HTML to put in a page."""
        from keras_seqzoo.explanation.rendering import fragment

        return str(fragment(self))

    def _repr_html_(self) -> str:
        return self.to_html()

    def __rich__(self) -> Any:
        """The text for a terminal, in colours and with the scores of the words that count."""
        from keras_seqzoo.explanation.rendering import terminal

        return terminal(self)

    def __str__(self) -> str:
        """The same without colours."""
        from keras_seqzoo.explanation.rendering import terminal

        return str(terminal(self))
