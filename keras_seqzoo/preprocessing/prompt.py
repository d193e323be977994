"""A text inside a prompt: what stands before it and after it, read as one string."""

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
    """Puts a text into a prompt and tokenises the whole, so that its ids are those of one string.

    Of a prompt that is too long the end of the text is cut, never what stands around it.

    Args:
        sequence_length: most tokens of a prompt.
        tokens: the preprocessor of the language model.
        before: what stands before the text.
        after: what stands after it.
        after_tokens: how many tokens `after` is.

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
        """What the tokens are called."""
        return self.tokens.unit

    @property
    def pad_id(self) -> int:  # type: ignore[override]
        """The language model's."""
        return self.tokens.pad_id

    @property
    def unknown_id(self) -> int:  # type: ignore[override]
        """The language model's."""
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
        """Strings `(batch,)` to the int32 ids of their prompts, ragged `(batch, None)`."""
        return self.tokens.tokenize(self.before + as_strings(texts) + self.after)

    def uncut_spans(self, texts: Sequence[str]) -> list[list[Span]]:
        """Spans of all tokens of the texts' prompts; outside of the text they are empty."""
        prompts = self.tokens.uncut_spans([self.before + text + self.after for text in texts])
        return [
            [(self._inside(text, start), self._inside(text, end)) for start, end in spans]
            for text, spans in zip(texts, prompts, strict=True)
        ]

    def truncate(self, tokens: tf.RaggedTensor) -> tf.RaggedTensor:
        """Cuts the end of a text that is too long; what stands after it is kept."""
        kept = self.sequence_length - self.after_tokens
        if not self.after_tokens:
            return tokens[:, :kept]
        return tf.concat([tokens[:, :kept], tokens[:, kept:][:, -self.after_tokens :]], axis=1)

    def fingerprint(self) -> str:
        """A digest of everything that decides the ids: equal digests give equal ids."""
        content = repr([self.sequence_length, self.before, self.after, self.tokens.fingerprint()])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, the tokens' preprocessor serialised."""
        names = ("before", "after", "after_tokens")
        return {
            **super().get_config(),
            "tokens": keras.saving.serialize_keras_object(self.tokens),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PromptPreprocessor:
        """Makes the layer again from what `get_config` returned."""
        tokens = keras.saving.deserialize_keras_object(config["tokens"])
        return cls(**{**config, "tokens": tokens})

    def _inside(self, text: str, place: int) -> int:
        """From a place in the prompt to one in the text."""
        return min(max(place - len(self.before), 0), len(text))
