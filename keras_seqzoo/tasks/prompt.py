"""Prompting: a language model classifies by how likely it finds each label, without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.decoding.transformer import TransformerDecoding, backbone_of
from keras_seqzoo.features import FEATURES
from keras_seqzoo.layers.labels import LabelScores
from keras_seqzoo.layers.temperature import ClassProbabilities
from keras_seqzoo.options import option
from keras_seqzoo.preprocessing.base import Preprocessor
from keras_seqzoo.preprocessing.prompt import PromptPreprocessor
from keras_seqzoo.tasks.classify import Classify, check_class_names
from keras_seqzoo.tasks.model import TextModel

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts

TEMPLATE = "Text: {text}\nLabel: {label}"
CONTENT_FREE = ("N/A", "", "[MASK]")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """The options of a prompt."""

    template: str = option(
        TEMPLATE, "the prompt, with `{text}`, and `{label}` at its end", '`"Text: … Label: …"`'
    )
    labels: Mapping[str, str] | Sequence[str] | None = option(
        None, "a word for each class: a dict by class, or a list in their order", "their names"
    )
    examples: Any = option(
        (), "answered prompts to start with: pairs of text and class, or a table", "none"
    )
    calibrate: bool | Sequence[str] = option(
        False, 'divide by the likelihoods for texts without content (`"N/A"`, …); or such texts'
    )


def build(
    parts: EncoderParts,
    data: Any,
    options: Prompt,
    *,
    classes: Sequence[str] | None = None,
    name: str,
) -> PromptClassifier:
    """Builds a classifier that asks a language model.

    Args:
        parts: GPT-2 and its preprocessor.
        data: a table, whose classes are used if `classes` is None.
        options: the prompt.
        classes: class names in label order.
        name: name of the model.

    Raises:
        ValueError: the encoder is not a GPT-2; the template lacks a place; a label is the beginning
            of another; the prompt leaves no room for a text.
    """
    if not parts.causal:
        raise ValueError(
            "A prompt is answered by a language model that reads forwards. Use 'gpt2'. "
            f"Received: {name!r}, which reads both ways"
        )
    if parts.preprocessor.pair:
        raise ValueError(
            "A prompt has a place for one text. Join the two in one column first, or build with "
            "task='classify'. Received: a table of pairs"
        )
    names = check_class_names(classes or getattr(data, "classes", None))
    words = _words(options.labels, names)
    before, after, space = _split(options.template)
    shown = "".join(
        options.template.replace("{label}", words[number]).replace("{text}", text) + "\n\n"
        for text, number in _pairs(options.examples, names)
    )
    backbone = backbone_of(parts.encoder)
    decoding = TransformerDecoding(backbone)
    tokens = parts.preprocessor
    label_ids = _label_ids(tokens, [space + word for word in words], words)
    longest = max(map(len, label_ids))
    length = min(tokens.sequence_length, decoding.positions) - longest + 1
    fixed, after_tokens = tokens.tokenize([shown + before + after, after]).row_lengths().numpy()
    if fixed >= length:
        raise ValueError(
            "The prompt must leave room for the text. Shorten the template, or take fewer or "
            f"shorter examples. Received: a prompt of {fixed} tokens and labels of {longest}, "
            f"where the model reads {length + longest - 1}"
        )
    model = PromptClassifier(
        encoder=parts.encoder,
        preprocessor=PromptPreprocessor(length, tokens, shown + before, after, int(after_tokens)),
        classes=names,
        label_ids=label_ids,
        name=name,
    )
    model.compile(
        optimizer=parts.optimizer(),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    if options.calibrate is not False:
        model.calibrate(CONTENT_FREE if options.calibrate is True else options.calibrate)
    return model


@keras.saving.register_keras_serializable("keras_seqzoo")
class PromptClassifier(TextModel):
    """A classifier that asks a language model how likely each label is after a prompt.

    Outputs float32 probabilities `(batch, num_classes)`: the likelihood of each label's whole token
    sequence, divided by the sum over the labels. There is no training: `fit` raises an error.

    Args:
        encoder: functional model over a GPT-2 backbone.
        preprocessor: text to the features of its prompt.
        classes: class names in label order.
        label_ids: the token ids of each class's label.
        **kwargs: arguments of `keras.Model`.
    """

    pooling = "last"
    arguments = ("classes", "label_ids")

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Preprocessor,
        classes: Sequence[str],
        label_ids: Sequence[Sequence[int]],
        **kwargs: Any,
    ):
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        scores = LabelScores(encoder, label_ids, name="label_scores")
        outputs = ClassProbabilities(dtype="float32", name="probabilities")(scores(inputs))
        super().__init__(inputs, outputs, **kwargs)
        self.encoder = encoder
        self.preprocessor = preprocessor
        self._task = Classify(OneOf(tuple(classes)))
        self.label_ids = [[int(i) for i in label] for label in label_ids]
        self.scores = scores

    def calibrate(self, texts: Sequence[str] = CONTENT_FREE) -> np.ndarray:
        """Divides the likelihoods by those that the model gives for texts without content.

        This corrects a model that finds a label likely after any text. Source: Zhao et al. (2021),
        Calibrate Before Use, equation 1 with W = diag(p)^-1, on the mean over the texts.

        Args:
            texts: texts without content.

        Returns:
            The mean probabilities of the classes, by which it divides, float32 `(classes,)`.

        Raises:
            ValueError: no text.
        """
        if isinstance(texts, str) or not len(texts):
            raise ValueError(
                "Calibration needs at least one text, in a list, such as ['N/A']. "
                f"Received: {texts!r}"
            )
        self.scores.prior.assign(np.zeros(len(self.classes), np.float32))
        mean = self.predict(list(texts), verbose=0).mean(axis=0)
        self.scores.prior.assign(np.log(np.maximum(mean, np.finfo(np.float32).tiny)))
        return mean

    def fit(self, *_: Any, **__: Any) -> Any:
        """Refuses: a prompt has nothing to train.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "A prompt is answered without training. To train on labelled texts, "
            "build with task='classify'; to train the language model, with task='generate', and "
            "take its file as weights='….keras'. Received: fit of a prompt model"
        )


def _split(template: str) -> tuple[str, str, str]:
    """The template before the text, the template after it, and the spaces before the label."""
    counts = [template.count(place) for place in ("{text}", "{label}")]
    if counts != [1, 1] or not template.endswith("{label}"):
        raise ValueError(
            "`template` must have {text} once, and {label} once, at its end: 'Review: {text}\\n"
            f"Sentiment: {{label}}'. Received: template={template!r}"
        )
    before, after = template.removesuffix("{label}").split("{text}")
    # Byte pairs have the space before a word in its token.
    kept = after.rstrip(" ")
    return before, kept, after[len(kept) :]


def _words(labels: Any, classes: Sequence[str]) -> list[str]:
    if labels is None:
        return list(classes)
    if isinstance(labels, Mapping):
        labels = [labels[name] for name in classes] if set(labels) == set(classes) else ()
    words = [labels] if isinstance(labels, str) else [str(word) for word in labels]
    if len(words) != len(classes):
        raise ValueError(
            "`labels` must have a word for each class: a dict by class, or a list in their order. "
            f"Received: labels={words}, classes={tuple(classes)}"
        )
    return words


def _pairs(examples: Any, classes: Sequence[str]) -> Iterator[tuple[str, int]]:
    if hasattr(examples, "texts"):
        names = examples.classes
        examples = [(t, names[n]) for t, n in zip(examples.texts, examples.labels, strict=True)]
    for example in examples:
        text, label = example if isinstance(example, (tuple, list)) else (example, None)
        if label not in classes:
            raise ValueError(
                "`examples` must be pairs of a text and the name of a class. "
                f"Received: {example!r}, classes={tuple(classes)}"
            )
        yield text, classes.index(label)


def _label_ids(tokens: Preprocessor, spelt: Sequence[str], words: Sequence[str]) -> list[list[int]]:
    ids = tokens.tokenize(list(spelt)).to_list()
    for word, row in zip(words, ids, strict=True):
        if not word.strip() or not row:
            raise ValueError(
                "A label must be a word: without tokens it has no likelihood. Name it with "
                f"labels={{class: word}}. Received: {word!r}"
            )
    for i, row in enumerate(ids):
        for j, other in enumerate(ids):
            if i != j and other[: len(row)] == row:
                raise ValueError(
                    "No label may begin another, which could never be likelier. Choose other words "
                    f"with labels={{class: word}}. Received: {words[i]!r} and {words[j]!r}"
                )
    return ids


TASK, OPTIONS = Classify, Prompt
