"""A text inside a prompt, which is read as one string."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_seqzoo.preprocessing.base import Preprocessor, as_strings
from keras_seqzoo.preprocessing.spans import Span


@keras.saving.register_keras_serializable("keras_seqzoo")
class PromptPreprocessor(Preprocessor):
    """Puts a text into a prompt and tokenizes the whole, so that its ids are those of one string.

    If a prompt is too long, the end of the text is cut, never the parts before and after it.

    Args:
        sequence_length: most tokens of a prompt.
        tokens: the preprocessor of the language model.
        before: the part of the prompt before the text.
        after: the part of the prompt after the text.
        after_tokens: number of tokens of `after`.

    Example:
        >>> from keras_seqzoo.preprocessing.words import WordPreprocessor
        >>> words = WordPreprocessor(8, vocabulary=["good", "film", "is", "this"])
        >>> PromptPreprocessor(5, words, "", " is this", 2).tokenize(["good film"]).to_list()
        [[2, 3, 4, 5]]
    """

    def __init__(
        self,
        sequence_length: int,
        tokens: Preprocessor,
        before: str,
        after: str,
        after_tokens: int,
        **kwargs: Any,
    ):
        super().__init__(sequence_length, **kwargs)
        self.tokens = tokens
        self.before = before
        self.after = after
        self.after_tokens = after_tokens

    @property
    def unit(self) -> str:  # type: ignore[override]
        """The name for the tokens in messages."""
        return self.tokens.unit

    @property
    def pad_id(self) -> int:  # type: ignore[override]
        """The padding id of the language model."""
        return self.tokens.pad_id

    @property
    def unknown_id(self) -> int:  # type: ignore[override]
        """The unknown id of the language model."""
        return self.tokens.unknown_id

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens of the language model, in the order of their ids."""
        return self.tokens.vocabulary

    @property
    def resources(self) -> Sequence[Any]:
        """The tables that a SavedModel must hold."""
        return self.tokens.resources

    def tokenize(self, texts: Any) -> tf.RaggedTensor:
        """Turns strings `(batch,)` into int32 ids of their prompts, ragged `(batch, None)`."""
        return self.tokens.tokenize(self.before + as_strings(texts) + self.after)

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Finds spans of all tokens of the texts' prompts; outside the text they are empty."""
        prompts = self.tokens.uncut_spans([self.before + text + self.after for text in texts])
        return [
            [(self._inside(text, start), self._inside(text, end)) for start, end in spans]
            for text, spans in zip(texts, prompts, strict=True)
        ]

    def truncate(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Cuts the end of a text that is too long; the part after the text is kept."""
        kept = self.sequence_length - self.after_tokens
        if not self.after_tokens:
            return tokens[:, :kept]
        return tf.concat([tokens[:, :kept], tokens[:, kept:][:, -self.after_tokens :]], axis=1)

    def fingerprint(self) -> str:
        """Returns a digest of everything that affects the ids: equal digests mean equal ids."""
        content = repr([self.sequence_length, self.before, self.after, self.tokens.fingerprint()])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the tokens' preprocessor serialised."""
        names = ("before", "after", "after_tokens")
        return {
            **super().get_config(),
            "tokens": keras.saving.serialize_keras_object(self.tokens),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PromptPreprocessor:
        """Makes the layer from the result of `get_config`."""
        tokens = keras.saving.deserialize_keras_object(config["tokens"])
        return cls(**{**config, "tokens": tokens})

    def _inside(self, text: str, place: int) -> int:
        """Converts a position in the prompt to one in the text."""
        return min(max(place - len(self.before), 0), len(text))
