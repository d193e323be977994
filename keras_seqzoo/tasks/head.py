"""The model of every task that answers from one vector: pooling → dropout → Dense → answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from keras_seqzoo.data.targets import OneOf
from keras_seqzoo.features import FEATURES
from keras_seqzoo.layers.pooling import POOLINGS, choose_pooling, pooled_vectors
from keras_seqzoo.layers.wide import WideScores
from keras_seqzoo.preprocessing.base import Preprocessor
from keras_seqzoo.preprocessing.windows import Windows
from keras_seqzoo.preprocessing.words import WordPreprocessor
from keras_seqzoo.tasks import task_from_dict
from keras_seqzoo.tasks.base import Head, Task
from keras_seqzoo.tasks.classify import Classify, ClassifyHead
from keras_seqzoo.tasks.model import Predictor, ServingFunction, TextModel, scores_of
from keras_seqzoo.tasks.series import SeriesPredictor
from keras_seqzoo.tasks.wide import is_small, learn_wide, sizes_for

if TYPE_CHECKING:
    from keras_seqzoo.encoders.parts import EncoderParts


def build_head(task: Task, parts: EncoderParts, options: Head, name: str) -> TextModel:
    """Builds and compiles a model; see `Task.build`."""
    wide = _wide(task, parts, options)
    model: TextModel = _kind(parts, options)(
        encoder=parts.encoder,
        preprocessor=parts.preprocessor,
        task=task,
        pooling=choose_pooling(options.pooling, parts),
        dropout=parts.dropout if options.dropout is None else options.dropout,
        poolings=parts.poolings,
        head_dim=options.head_dim,
        name=name,
        **({} if wide is None else {"wide": wide}),
    )
    model.compile(
        optimizer=parts.optimizer(),
        **task.training(),
        # Batches come in many lengths, and XLA would compile for each.
        jit_compile=False,
        schedule=parts.schedule,
        warmup=parts.warmup,
    )
    return model


def _wide(task: Task, parts: EncoderParts, options: Head) -> tuple[int, int] | None:
    """The sizes of the linear model next to the encoder; None if there is none."""
    reads = parts.preprocessor
    words: Sequence[str] = ()
    if isinstance(reads, WordPreprocessor) and not reads.pair:
        words = reads.vocabulary
    can_be = isinstance(options, ClassifyHead) and words and not options.few_shot
    wanted = getattr(options, "wide", None)
    if wanted and not can_be:
        raise ValueError(
            "The linear model reads the words of one text. With `wide`, build a recurrent or "
            "static model of single texts, without byte pairs and few_shot. Or leave `wide` out. "
            "Received: wide=True"
        )
    if wanted is None:
        wanted = parts.wide and is_small(len(words), len(task.names))
    return sizes_for(len(words), len(task.names)) if can_be and wanted else None


def _kind(parts: EncoderParts, options: Head) -> type[Predictor]:
    is_series = isinstance(parts.preprocessor, Windows)
    if not getattr(options, "few_shot", False):
        return SeriesPredictor if is_series else TextPredictor
    if is_series:
        raise ValueError(
            "Few-shot learning is for texts. Leave few_shot out. Received: few_shot=True, a model "
            "of windows of numbers"
        )
    from keras_seqzoo.tasks.few_shot import FewShotClassifier  # which is a TextPredictor

    return FewShotClassifier


@keras.saving.register_keras_serializable("keras_seqzoo")
class TextPredictor(Predictor):
    """A model that answers from one vector of a text or of a pair of texts.

    Its outputs are those of the task: for classes, float32 probabilities `(batch, classes)`.

    Args:
        encoder: functional model from the features to `sequence_output` `(batch, length, hidden)`
            and `pooled_output` `(batch, hidden)`.
        preprocessor: text to features.
        task: the task, or what its `as_dict` returned.
        pooling: `"pooled"` takes the encoder's own `pooled_output`; for recurrent layers this is
            their last state, also called `"last"`. `"cls"` takes the first token's vector of
            `sequence_output`; `"mean"` and `"max"` pool it over the real tokens.
        dropout: rate before every layer of the head.
        poolings: further values that `pooling` may have for this encoder.
        head_dim: width of a ReLU layer before the last one; none if None.
        wide: how many word ids, and places for word pairs, a linear model has whose scores are
            added, see `layers.wide.WideScores`; no such model if None.
        **kwargs: arguments of `keras.Model`.
    """

    arguments = (*Predictor.arguments, "wide")

    def __init__(
        self,
        encoder: keras.Model,
        preprocessor: Preprocessor,
        task: Task | Mapping[str, Any],
        pooling: str = "pooled",
        dropout: float = 0.0,
        poolings: Sequence[str] = POOLINGS,
        head_dim: int | None = None,
        wide: Sequence[int] | None = None,
        **kwargs: Any,
    ):
        task = task if isinstance(task, Task) else task_from_dict(task)
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in FEATURES}
        x = pooled_vectors(encoder, inputs, pooling)
        logits = scores_of(x, len(task.names), dropout, head_dim)
        if wide is not None:
            logits = WideScores(*wide, name="wide")(logits, inputs["token_ids"])
        super().__init__(inputs, task.output(logits), **kwargs)
        self.keep(encoder, preprocessor, task, pooling, dropout, poolings, head_dim)
        self.wide = None if wide is None else tuple(wide)

    def fit_beside(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> None:
        """Fits the linear model, if there is one, to the training rows."""
        if self.wide is not None:
            words = self.preprocessor.vocabulary
            learn_wide(self.get_layer("wide"), words, x, y, sample_weight, class_weight)

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """The signatures of every task, and `embed`."""

        def embed(**given: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embedding": self.vectors(self.read_served(given))}

        return {**super().serving_functions(), "embed": ServingFunction(embed, self.served_inputs)}


@keras.saving.register_keras_serializable("keras_seqzoo")
class TextClassifier(TextPredictor):
    """The name of a `TextPredictor` of classes in old files."""

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TextModel:
        """Makes a model of the current class."""
        config = dict(config)
        config["task"] = Classify(OneOf(tuple(config.pop("classes")))).as_dict()
        return TextPredictor.from_config(config, custom_objects)
