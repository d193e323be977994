"""`TextModel`: a functional Keras model whose `fit`, `evaluate` and `predict` take raw strings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_seqzoo.checks import check_rate
from keras_seqzoo.data.pipeline import make_dataset, text_windows, window_batches
from keras_seqzoo.data.stream import TextStream
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.layers.pooling import pool
from keras_seqzoo.layers.recurrent import set_xla
from keras_seqzoo.preprocessing.base import Preprocessor, as_strings
from keras_seqzoo.training.distributed import DistributedModel, listed
from keras_seqzoo.training.schedules import LearningRateOverFit, check_schedule


class ServingFunction(NamedTuple):
    """A signature of the exported SavedModel: a function of tensors, and what it takes."""

    function: Callable[..., Mapping[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    method: str = "tensorflow/serving/predict"


class TextModel(DistributedModel):
    """Base of the models of every task: an encoder, a head, and the way from text to ids.

    `fit`, `evaluate`, `predict` and the `…_on_batch` methods take what Keras takes, with the
    features of `make_dataset` as input, and also raw text: a list or array of strings, a
    `TextTable`, a `TextStream`, or a `tf.data.Dataset` of strings. Text always passes through the
    model's own preprocessor, the graph that is also exported.

    Why not `keras_hub.models.Task`: its `fit` hands strings to Grain and to Python tokenizers
    where `grain` happens to be installed, so that ids would depend on what else is installed,
    and it tokenises every text anew in every epoch.

    Attributes:
        encoder: the functional model from features to vectors.
        preprocessor: text to features.
        pooling: how one vector is made of those of a text's tokens.
        arguments: the constructor's, beside these: attributes of the same names hold them.
        schedule: how `fit` lets the learning rate change over its steps, see `compile`.
        warmup: share of the steps over which it rises first.
    """

    encoder: keras.Model
    preprocessor: Preprocessor
    pooling: str
    arguments: Sequence[str] = ()
    schedule = "constant"
    warmup = 0.0
    _scheduler: LearningRateOverFit | None = None

    @property
    def resources(self) -> Sequence[Any]:
        """The tables and variables that a SavedModel must hold beside the weights."""
        return self.preprocessor.resources

    def encode_targets(self, targets: Any) -> Any:
        """Turns what a user passes as `y` into what the loss takes; a task may override it."""
        return targets

    def check_table(self, table: Any) -> None:
        """Raises where a table does not fit the model; a task may override it."""

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """The signatures that `export_model` writes, by name."""
        raise NotImplementedError

    def compile(
        self, *args: Any, schedule: str = "constant", warmup: float = 0.0, **kwargs: Any
    ) -> None:
        """Configures training; `keras.Model.compile` with a learning-rate schedule for `fit`.

        A model of `build_model` comes compiled with what its family trains well with. To compile
        it again drops that, schedule included.

        Args:
            *args: as in Keras.
            schedule: `"constant"`, or `"linear"` or `"cosine"`: the optimizer's learning rate is
                the peak, from which it falls to zero over the real number of steps of `fit`. A
                `fit` with `LearningRateScheduler` or `ReduceLROnPlateau` leaves the rate to them.
            warmup: share of the steps over which it rises linearly from zero first.
            **kwargs: as in Keras.

        Raises:
            ValueError: an unknown schedule, `warmup` out of its range, or either with an optimizer
                that has a `LearningRateSchedule` already.
        """
        check_schedule(schedule)
        check_rate(warmup=warmup)
        super().compile(*args, **kwargs)
        is_scheduled = self.optimizer and isinstance(
            self.optimizer.get_config().get("learning_rate"), dict
        )
        if is_scheduled and (schedule != "constant" or warmup):
            raise ValueError(
                "An optimizer's learning rate follows one schedule. Leave `schedule` and `warmup` "
                "out, or give the optimizer a number. "
                f"Received: schedule={schedule!r}, warmup={warmup}, an optimizer with its own"
            )
        set_xla(self.encoder, kwargs.get("jit_compile") is True)
        self.schedule = schedule
        self.warmup = warmup

    def use_xla(self) -> None:
        """Has XLA compile the step, as `compile(jit_compile=True)` does; nothing else changes."""
        self.jit_compile = True
        set_xla(self.encoder, True)

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, serialised."""
        config = super().get_compile_config()
        if not config:
            return config
        built = bool(self.optimizer and self.optimizer.built)
        return {**config, "schedule": self.schedule, "warmup": self.warmup, "built": built}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model as `get_compile_config` tells (Keras calls this in `load_model`)."""
        arguments = keras.saving.deserialize_keras_object(config)
        built = arguments.pop("built", True)
        self.compile(**arguments)
        if built:  # else the file holds no moments, and Keras would warn that it finds none
            self.optimizer.build(self.trainable_variables)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains the model; `keras.Model.fit` that also takes raw text.

        Args:
            x: raw text, a table or stream, features, or a dataset of either.
            y: labels `(rows,)`: numbers or, for a classifier, class names.
            batch_size: rows a batch; 32 by default.
            epochs: passes over the data.
            verbose: as in Keras.
            callbacks: as in Keras.
            validation_split: share of the rows, taken from the end, to validate on.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, a `TextTable` or a dataset.
            shuffle: whether rows are drawn in random order; datasets are taken as they come.
            class_weight: weight of each label number in the loss.
            sample_weight: weight of each row in the loss.
            **kwargs: the further arguments of `keras.Model.fit`.

        Returns:
            The `keras.callbacks.History`.
        """
        for layer in self.encoder.layers:
            if getattr(layer, "lora_rank", None):
                layer.wake_lora()
        x, y = self._columns(x, y, batch_size, shuffle)
        if _is_text(x):
            if validation_split and validation_data is None:
                (x, y, sample_weight), validation_data = _split_end(
                    validation_split, as_strings(x), y, sample_weight
                )
            x = self._text_dataset(x, y, sample_weight, batch_size, shuffle)
            y = sample_weight = batch_size = None
            validation_split = 0.0
        elif isinstance(x, tf.data.Dataset):
            x, batch_size = self._with_features(x), None
        elif y is not None:
            y = self.encode_targets(y)
        callbacks, self._scheduler = self._with_schedule(callbacks)
        try:
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=self._validation_data(validation_data, batch_size),
                # Keras warns where it is asked to shuffle a dataset, and its default asks.
                shuffle=shuffle and not isinstance(x, tf.data.Dataset),
                class_weight=class_weight,
                sample_weight=sample_weight,
                **kwargs,
            )
        finally:
            if self._scheduler is not None:
                self._scheduler.put_back()
            self._scheduler = None

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Computes the loss and the compiled metrics; takes raw text as `fit` does."""
        x, y = self._columns(x, y, batch_size)
        if _is_text(x):
            x = self._text_dataset(x, y, sample_weight, batch_size, shuffle=False)
            y = sample_weight = batch_size = None
        elif isinstance(x, tf.data.Dataset):
            x, batch_size = self._with_features(x), None
        elif y is not None:
            y = self.encode_targets(y)
        return super().evaluate(
            x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, **kwargs
        )

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", **kwargs: Any
    ) -> Any:
        """Computes the model's outputs, row by row in the order of `x`; takes raw text.

        Texts are run sorted by length, which spares padding, and put back in order.

        Returns:
            What the task answers; for a classifier, float32 probabilities `(rows, classes)`.
        """
        x, _ = self._columns(x, None, batch_size)
        if isinstance(x, tf.data.Dataset):
            x, batch_size = self._with_features(x), None
        if not _is_text(x):
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        strings = as_strings(x)
        if strings.shape[0] == 0:
            shapes = keras.tree.map_structure(lambda t: (0, *t.shape[1:]), self.output)
            return keras.tree.map_shape_structure(lambda s: np.zeros(s, np.float32), shapes)
        batches, back = self.batches_by_length(strings, batch_size or 32)
        answers = super().predict(batches, verbose=verbose, **kwargs)
        return keras.tree.map_structure(lambda answer: answer[back], answers)

    def batches_by_length(
        self, strings: tf.Tensor, batch_size: int
    ) -> tuple[tf.data.Dataset, np.ndarray]:
        """Tokenises texts and makes batches of the features of texts of like length.

        Args:
            strings: texts `(rows,)`, at least one.
            batch_size: rows a batch.

        Returns:
            The batches, and the index `(rows,)` that puts their rows back in the texts' order.
        """
        windows = text_windows(strings, self.preprocessor, {})
        lengths = np.diff(next(iter(windows))["splits"].numpy())
        batches = window_batches(
            windows, self.preprocessor, batch_size, rows=len(lengths), bucket=True
        )
        return batches, np.argsort(np.argsort(lengths, kind="stable"), kind="stable")

    def vectors(self, features: Any) -> Any:
        """Encodes and pools features, without dropout: float32 `(batch, hidden)`.

        This is what the head of the model reads.
        """
        encoded = self.encoder(features, training=False)
        return tf.cast(pool(encoded, features["padding_mask"], self.pooling), tf.float32)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, encoder and preprocessor serialised."""
        given = {name: getattr(self, name) for name in self.arguments}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
        parts = {
            part: keras.saving.serialize_keras_object(getattr(self, part))
            for part in ("encoder", "preprocessor")
        }
        frozen = [i for i, weight in enumerate(self.weights) if not weight.trainable]
        layers = [layer.name for layer in self.layers if not layer.trainable]
        trainable = {"trainable": self.trainable, "frozen": [frozen, layers]}
        return {"name": self.name, **parts, **plain, **trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TextModel:
        """Makes the model again from what `get_config` returned."""
        parts = {
            part: keras.saving.deserialize_keras_object(config[part], custom_objects=custom_objects)
            for part in ("encoder", "preprocessor")
        }
        kept = {k: v for k, v in config.items() if k not in ("trainable", "frozen")}
        model = cls(**{**kept, **parts})
        if "frozen" in config:
            model._freeze(config["trainable"], *config["frozen"])
        return model

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: Keras cannot load what it would save.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "Keras would save a quantised model that it cannot load again. Leave the weights as "
            "they are; to spend less, build a smaller model. "
            f"Received: quantize of {self.name!r}"
        )

    def _freeze(self, trainable: bool, weights: Sequence[int], layers: Sequence[str]) -> None:
        """Makes trainable what was, weight by weight, as a file tells."""
        for layer in self.layers:
            layer.trainable = layer.name not in layers
        if not trainable:
            self.trainable = False
        frozen = {*weights}
        for index, weight in enumerate(self.weights):
            weight.trainable = index not in frozen

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains on one batch; takes raw text as `fit` does."""
        y = None if y is None else self.encode_targets(y)
        return super().train_on_batch(self._features(x), y, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one batch; takes raw text as `evaluate` does."""
        y = None if y is None else self.encode_targets(y)
        return super().test_on_batch(self._features(x), y, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch; takes raw text as `predict` does."""
        return super().predict_on_batch(self._features(x))

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model, as Keras does; within `fit`, with the peak of the learning rate.

        Raises:
            ValueError: an HDF5 file, which holds no vocabulary.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "An HDF5 file holds no vocabulary. Save to a file that ends in .keras, or the "
                f"weights alone with save_weights('….weights.h5'). Received: {filepath}"
            )
        with self._scheduler.at_peak() if self._scheduler is not None else nullcontext():
            super().save(filepath, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the weights, as Keras does; within `fit`, with the peak of the learning rate."""
        with self._scheduler.at_peak() if self._scheduler is not None else nullcontext():
            super().save_weights(filepath, *args, **kwargs)

    def _with_schedule(self, callbacks: Any) -> tuple[Any, LearningRateOverFit | None]:
        """The callbacks with the one that the model's schedule needs, and that one."""
        given = listed(callbacks)
        own = next((c for c in given if isinstance(c, LearningRateOverFit)), None)
        if own is not None or (self.schedule == "constant" and not self.warmup):
            return callbacks, own
        setters = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)
        setter = next((c for c in given if isinstance(c, setters)), None)
        if setter is not None:
            warnings.warn(
                f"{type(setter).__name__} sets the learning rate of this fit: the model's schedule "
                f"({self.schedule}, warmup {self.warmup}) is left out. To compile without "
                "schedule= says that outright.",
                stacklevel=3,
            )
            return callbacks, None
        scheduler = LearningRateOverFit(self.schedule, self.warmup)
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(scheduler)
            return callbacks, scheduler
        return [scheduler, *given], scheduler

    def _features(self, x: Any) -> Any:
        return self.preprocessor(x) if _is_text(x) else x

    def _columns(
        self, x: Any, y: Any, batch_size: int | None, shuffle: bool = False
    ) -> tuple[Any, Any]:
        """Takes a table apart; a stream becomes its dataset."""
        if isinstance(x, TextStream):
            return make_dataset(x, self, batch_size or 32, shuffle=shuffle), None
        if not isinstance(x, TextTable):
            return x, y
        self.check_table(x)
        return x.texts, x.labels

    def _text_dataset(
        self, x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool
    ) -> tf.data.Dataset:
        strings = as_strings(x)
        columns = {}
        if y is not None:
            columns["labels"] = np.asarray(self.encode_targets(y))
        if sample_weight is not None:
            columns["sample_weights"] = np.asarray(sample_weight, np.float32)
        for name, column in columns.items():
            if len(column) != strings.shape[0]:
                raise ValueError(
                    f"There must be as many {name} as texts. "
                    f"Received: {strings.shape[0]} texts, {len(column)} {name}"
                )
        return window_batches(
            text_windows(strings, self.preprocessor, columns),
            self.preprocessor,
            batch_size or 32,
            rows=strings.shape[0],
            shuffle=shuffle,
            bucket=shuffle,
        )

    def _validation_data(self, data: Any, batch_size: int | None) -> Any:
        if data is None:
            return None
        if isinstance(data, tf.data.Dataset):
            return self._with_features(data)
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        x, y = self._columns(x, y, batch_size)
        if isinstance(x, tf.data.Dataset):
            return x
        if _is_text(x):
            return self._text_dataset(x, y, weight, batch_size, shuffle=False)
        if y is None:
            return data
        return keras.utils.pack_x_y_sample_weight(x, self.encode_targets(y), weight)

    def _with_features(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """Tokenises and packs the texts of a dataset of string batches."""
        spec = dataset.element_spec
        texts = spec[0] if isinstance(spec, tuple) else spec
        if not (isinstance(texts, tf.TensorSpec) and texts.dtype == tf.string):
            return dataset
        if texts.shape.rank != 1:
            raise ValueError(
                "A dataset of strings must yield batches of shape (batch,). Batch it first: "
                f"dataset.batch(32). Received: element_spec={spec}"
            )

        def convert(texts: tf.Tensor, *rest: tf.Tensor) -> Any:
            features = self.preprocessor(texts)
            return (features, *rest) if rest else features

        return dataset.map(convert, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1)


def _is_text(x: Any) -> bool:
    if isinstance(x, (str, bytes)):
        return True  # as_strings explains what is wrong with it
    if tf.is_tensor(x):
        return x.dtype == tf.string
    dtype = getattr(x, "dtype", None)
    if dtype is not None:
        return getattr(dtype, "kind", "O") in "OUST"
    if isinstance(x, (list, tuple)):
        return len(x) == 0 or isinstance(x[0], (str, bytes)) or x[0] is None
    return False


def _split_end(share: float, *columns: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Splits columns as Keras does: the last `share` of the rows is for validation."""
    if not 0 < share < 1:
        raise ValueError(
            f"`validation_split` must lie between 0 and 1. Received: validation_split={share!r}"
        )
    at = int(len(columns[0]) * (1 - share))
    if at == 0 or at == len(columns[0]):
        raise ValueError(
            "Both parts of a validation split need a row. Use more texts or another share. "
            f"Received: {len(columns[0])} texts, validation_split={share!r}"
        )
    first = tuple(None if c is None else c[:at] for c in columns)
    return first, tuple(None if c is None else c[at:] for c in columns)
