"""`TextModel`: a functional Keras model whose `fit`, `evaluate` and `predict` take raw strings."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from itertools import chain, islice
from types import GeneratorType, MappingProxyType
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from keras_seqzoo.batches.passes import untuned
from keras_seqzoo.batches.pipeline import (
    LENGTH_MULTIPLE,
    make_dataset,
    text_windows,
    window_batches,
)
from keras_seqzoo.checks import check_rate, check_whole
from keras_seqzoo.data.stream import TextStream
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.features import FEATURES
from keras_seqzoo.layers.late import LateEmbedding, Later
from keras_seqzoo.layers.pooling import pool
from keras_seqzoo.layers.recurrent import set_xla
from keras_seqzoo.layers.temperature import ClassProbabilities
from keras_seqzoo.preprocessing.base import Preprocessor, is_text, with_a_token
from keras_seqzoo.tasks.base import Task
from keras_seqzoo.training.callbacks import CALIBRATED, CalibratedLoss
from keras_seqzoo.training.distributed import DistributedModel, listed
from keras_seqzoo.training.schedules import LearningRateOverFit, check_schedule

_PART = 4096  # texts to tokenize at once


class ServingFunction(NamedTuple):
    """A signature of the exported SavedModel: a function of tensors, and what it takes."""

    function: Callable[..., Mapping[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    method: str = "tensorflow/serving/predict"


class TextModel(DistributedModel):
    """Base class of the models of every task: a preprocessor from text to ids, encoder and head.

    `fit`, `evaluate`, `predict` and the `…_on_batch` methods take what Keras takes, with the
    features of `make_dataset` as input, and also raw text: a list or array of strings, a
    `TextTable`, a `TextStream`, or a `tf.data.Dataset` of strings. Text always passes through the
    model's own preprocessor, the graph that is also exported.

    Why not `keras_hub.models.Task`: if `grain` is installed, its `fit` hands strings to Grain and
    to Python tokenizers, so ids would depend on what else is installed. It also tokenizes every
    text again in every epoch.

    Attributes:
        encoder: the functional model from features to vectors.
        preprocessor: text to features.
        pooling: how the vectors of a text's tokens become one.
        arguments: names of the constructor's further arguments, which attributes hold.
        schedule: how `fit` changes the learning rate over its steps, see `compile`.
        warmup: share of the steps over which it rises first.
        usual_epochs: passes over the data, if they do not depend on the number of rows.
        wide: sizes of the linear model next to the network; None if there is none.
        source: the handle or preset that its weights came from, or "a local folder"; None if
            there is none, or it is not known.
    """

    encoder: keras.Model
    preprocessor: Preprocessor
    pooling: str
    dtype_policy: Any
    arguments: Sequence[str] = ()
    schedule = "constant"
    warmup = 0.0
    usual_epochs: int | None = None
    wide: tuple[int, ...] | None = None
    source: str | None = None
    _task: Task = Task()
    _scheduler: LearningRateOverFit | None = None
    _compiled: Mapping[str, Any] = MappingProxyType({})  # from the file, in addition to Keras's

    @property
    def resources(self) -> Sequence[Any]:
        """The tables and variables that a SavedModel must hold in addition to the weights."""
        return self.preprocessor.resources

    @property
    def task(self) -> Task:
        """The model's task, with what the model has learnt for it, such as thresholds."""
        return self._task.with_state(self)

    @property
    def graphs(self) -> list[keras.layers.Layer]:
        """The layers, and the preprocessor, whose graphs of TF Hub travel in the file."""
        parts = [*self.encoder.layers, self.preprocessor]
        return [part for part in parts if hasattr(part, "archive")]

    @property
    def pair(self) -> bool:
        """Whether it reads pairs of texts."""
        return "text_pair" in self.served_inputs

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of classes or labels, in label order; `()` for other tasks."""
        return self._task.classes

    @property
    def _loss(self) -> str:
        """Name of the compiled loss."""
        loss = getattr(self, "loss", None)
        return str(getattr(loss, "name", getattr(loss, "__name__", loss)))

    def encode_targets(self, targets: Any) -> Any:
        """Turns what a user passes as `y` into what the loss takes: see `Task.encode`."""
        return self._task.encode(targets, self._loss)

    def check_table(self, table: Any) -> None:
        """Checks that the inputs and the target of a table are those of the model.

        Raises:
            ValueError: they are not.
        """
        if (table.inputs.name == "pair") != self.preprocessor.pair:
            wanted = "pairs of texts, text=(…, …)" if self.preprocessor.pair else "one text per row"
            raise ValueError(
                "The table must have the inputs that the model was built for. Read the table "
                f"with {wanted}, or build a "
                f"model for it. Received: {table!r}"
            )
        self._task.check_table(table)

    def own_dataset(
        self, table: Any, batch_size: int, shuffle: bool, seed: int | None
    ) -> tf.data.Dataset | None:
        """The model's own dataset for `make_dataset`, if it does not read rows as others do."""
        return None

    def arranged(
        self, x: Any, y: Any, batch_size: int | None
    ) -> tuple[Any, Any, Sequence[keras.callbacks.Callback]]:
        """What `fit` passes over, for models that do not train as others do.

        Args:
            x: features or batches.
            y: encoded targets; None if the batches have them.
            batch_size: the argument of `fit`.

        Returns:
            `x` and `y` to use instead, and callbacks that this training needs.
        """
        return x, y, ()

    def fit_beside(self, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> None:
        """Fits a part that does not learn together with the network; most models have none.

        Args:
            x: features or batches.
            y: encoded targets; None if the batches have them.
            sample_weight: of the rows; None if the batches have them.
            class_weight: by label number; None for none.
        """

    def serving_functions(self) -> Mapping[str, ServingFunction]:
        """The signatures that `export_model` writes, by name.

        `serving_default` (raw inputs) and `tokens` (ids) return the answers of the task; tasks with
        an `api` also have `classify` or `regress` (`tf.Example`).
        """
        task = self.task

        def serving_default(**given: tf.Tensor) -> Mapping[str, tf.Tensor]:
            return task.answer(self(self.read_served(given), training=False))

        def tokens(**features: tf.Tensor) -> Mapping[str, tf.Tensor]:
            features = with_a_token(features, self.preprocessor.unknown_id)
            return task.answer(self(features, training=False))

        def of_examples(inputs: tf.Tensor) -> Mapping[str, tf.Tensor]:
            one = tf.io.FixedLenFeature([], tf.string)
            given = tf.io.parse_example(inputs, dict.fromkeys(self.served_inputs, one))
            answer: Mapping[str, tf.Tensor] = task.api_answer(
                self(self.read_served(given), training=False)
            )
            return answer

        ids = dict.fromkeys(FEATURES, tf.TensorSpec([None, None], tf.int32))
        functions = {"serving_default": ServingFunction(serving_default, self.served_inputs)}
        if task.api:
            examples = {"inputs": tf.TensorSpec([None], tf.string)}
            method = f"tensorflow/serving/{task.api}"
            functions[task.api] = ServingFunction(of_examples, examples, method)
        return {**functions, "tokens": ServingFunction(tokens, ids)}

    @property
    def served_inputs(self) -> Mapping[str, tf.TensorSpec]:
        """What a request holds of each row: `text`, and `text_pair` for pairs."""
        names = ("text", "text_pair")[: 1 + self.preprocessor.pair]
        return dict.fromkeys(names, tf.TensorSpec([None], tf.string))

    def samples(self, rows: Sequence[tuple[str, ...]]) -> dict[str, np.ndarray]:
        """Rows for a trial request to a server, an array for each of `served_inputs`.

        Args:
            rows: at least one, each of one text or two.
        """
        columns = [np.array([t.encode() for t in side], object) for side in zip(*rows, strict=True)]
        return dict(zip(self.served_inputs, columns, strict=True))

    def read_served(self, given: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Turns the inputs that `served_inputs` names into features."""
        columns = [given[name] for name in self.served_inputs]
        return self.preprocessor(tf.stack(columns, 1) if self.preprocessor.pair else columns[0])

    def compile(
        self, *args: Any, schedule: str = "constant", warmup: float = 0.0, **kwargs: Any
    ) -> None:
        """Configures training; `keras.Model.compile` with a learning-rate schedule for `fit`.

        `build_model` returns a model compiled with settings that suit its family. Compiling it
        again drops them all, also the schedule.

        Args:
            *args: as in Keras.
            schedule: `"constant"`, `"linear"` or `"cosine"`. With the last two, the optimizer's
                learning rate is the peak, and falls to zero over the number of steps of `fit`. If
                `fit` gets a `LearningRateScheduler` or `ReduceLROnPlateau`, this sets the rate.
            warmup: share of the steps over which the rate first rises linearly from zero.
            **kwargs: as in Keras.

        Raises:
            ValueError: an unknown schedule, `warmup` out of its range, or one of the two with an
                optimizer that already has a `LearningRateSchedule`.
        """
        check_schedule(schedule)
        check_rate(warmup=warmup)
        policy = self.dtype_policy
        if any(layer.dtype_policy.name == "mixed_float16" for layer in self.encoder.layers):
            self.dtype_policy = keras.DTypePolicy("mixed_float16")  # Keras scales the loss by it
        super().compile(*args, **kwargs)
        self.dtype_policy = policy
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
        """Lets XLA compile the step, like `compile(jit_compile=True)`; changes nothing else."""
        self.jit_compile = True
        set_xla(self.encoder, True)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles the model from `get_compile_config` (Keras calls this in `load_model`)."""
        # Old files have these three in the config, where Keras's clones could not take them.
        arguments = {**self._compiled, **keras.saving.deserialize_keras_object(config)}
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
        calibrate: bool = False,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains the model; `keras.Model.fit` that also takes raw text.

        Args:
            x: raw text, a table or stream, features, or batches of text or features: a
                `tf.data.Dataset`, a `PyDataset` or a generator, with elements as in Keras.
            y: labels `(rows,)`: numbers or, for a classifier, class names, see
                `data.naming.label_numbers`. None with a table, a stream or a dataset, which hold
                their labels.
            batch_size: rows in a batch; 32 by default.
            epochs: passes over the data.
            verbose: as in Keras.
            callbacks: as in Keras.
            validation_split: share of the rows, taken from the end, to validate on.
            validation_data: `(x, y)` or `(x, y, sample_weight)`, a `TextTable` or a dataset.
            shuffle: whether to draw rows in random order; datasets keep their order.
            class_weight: weight of each class in the loss, by name or label number; or
                `"balanced"`, so that each class counts the same.
            sample_weight: weight of each row in the loss.
            calibrate: whether to fit the confidence of a trained classifier to the validation rows
                (temperature scaling, see `metrics.statistics.best_temperature`). If the model has a
                linear part (the option `wide`, which recurrent and static models of one text have),
                `fit` first fits that, reading a dataset once more, and chooses its weight on the
                validation rows. Without `calibrate`, and with generators, the linear part stays
                out. Both change the loss of the validation rows, so it differs from the history's.
                The command, `compare` and `fit_settings` calibrate. Tasks without classes have
                nothing to calibrate.
            **kwargs: the further arguments of `keras.Model.fit`.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            ValueError: `calibrate` without validation rows, and the errors of Keras.
        """
        for layer in self.encoder.layers:
            if hasattr(layer, "wake_lora"):
                layer.wake_lora()
        once = isinstance(x, GeneratorType)
        x, y, sample_weight = self._read(x, y, sample_weight, batch_size, shuffle)
        has_rows = y is not None or is_text(x)  # else Keras raises: it cannot split a dataset
        if has_rows and validation_split and validation_data is None:
            (x, y, sample_weight), held_out = _split_end(validation_split, (x, y, sample_weight))
            validation_data, validation_split = held_out, 0.0
            if is_text(x):
                texts, labels, weights = held_out
                validation_data = self._text_dataset(
                    texts, labels, weights, batch_size, shuffle=False
                )
        else:
            validation_data = self._validation_data(validation_data, batch_size)
        if calibrate and validation_data is None:
            raise ValueError(
                "Probabilities are calibrated on rows that the model does not learn from. Pass "
                "validation_data or, with arrays or texts, validation_split. "
                "Received: calibrate=True"
            )
        class_weight = self._task.encode_class_weight(class_weight, y)
        if is_text(x):
            x = self._text_dataset(x, y, sample_weight, batch_size, shuffle)
            y = sample_weight = None
        if calibrate and not once:
            self.fit_beside(x, y, sample_weight, class_weight)
        x, y, own = self.arranged(x, y, batch_size)
        for callback in own:
            callbacks = _joined(callback, callbacks)
        if isinstance(x, tf.data.Dataset):
            batch_size = None
        if any(isinstance(layer, LateEmbedding) for layer in self.encoder.layers):
            callbacks = _joined(Later(), callbacks)
        steps = kwargs.get("validation_steps")
        watched = {getattr(callback, "monitor", None) for callback in listed(callbacks)}
        if validation_data is not None and CALIBRATED in watched:
            callbacks = _joined(CalibratedLoss(validation_data, steps), callbacks)
        callbacks, self._scheduler = self._with_schedule(callbacks)
        self._task.before_fit(self)
        try:
            history = super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                # Keras warns if it is to shuffle a dataset, and shuffle=True is its default.
                shuffle=shuffle and not isinstance(x, tf.data.Dataset),
                class_weight=class_weight,
                sample_weight=sample_weight,
                **kwargs,
            )
        finally:
            if self._scheduler is not None:
                self._scheduler.put_back()
            self._scheduler = None
        if validation_data is not None:
            self._task.after_fit(self, validation_data, steps, calibrate)
        return history

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
        # `fit` has read its validation data already when Keras asks for it.
        if "_use_cached_eval_dataset" not in kwargs:
            x, y, sample_weight = self._read(x, y, sample_weight, batch_size)
        if is_text(x):
            plain = self.compiled and self.steps_per_execution == 1 and not self._is_spread
            if plain and isinstance(y, np.ndarray) and len(y) == len(x) > 0:
                return self._scored(x, y, sample_weight, batch_size or 32, verbose, **kwargs)
            x = self._text_dataset(x, y, sample_weight, batch_size, shuffle=False)
            y = sample_weight = None
        if isinstance(x, tf.data.Dataset):
            batch_size = None
        return super().evaluate(
            x, y, batch_size=batch_size, verbose=verbose, sample_weight=sample_weight, **kwargs
        )

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        as_frame: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Computes the model's outputs, row by row in the order of `x`; takes raw text.

        Batches hold texts of similar length, which saves padding. Answers keep the order of `x`.

        Args:
            x: raw text, a table or stream, features, or batches of text or features.
            batch_size: rows in a batch; 32 by default.
            verbose: as in Keras.
            as_frame: whether to return a pandas frame with the columns of the command's CSV:
                `label`, `probability` and `p_<class>`; `labels` and `p_<label>`; `value`, or
                `value_<name>` for several numbers.
            **kwargs: further arguments of `keras.Model.predict`.

        Returns:
            The answers of the task; for a classifier, float32 probabilities `(rows, classes)`.
        """
        if as_frame:
            return self.task.to_frame(self.predict(x, batch_size, verbose, **kwargs))
        x, _, _ = self._read(x, None, None, batch_size, labelled=False)
        if not is_text(x):
            batch_size = None if isinstance(x, tf.data.Dataset) else batch_size
            return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)
        batch_size = batch_size or 32
        x = x[: (kwargs.pop("steps", None) or len(x)) * batch_size]
        if len(x) == 0:
            shapes = keras.tree.map_structure(lambda t: (0, *t.shape[1:]), self.output)
            return keras.tree.map_shape_structure(lambda s: np.zeros(s, np.float32), shapes)
        order, batches = self.batches_by_length(x, batch_size)
        if self._is_spread:
            spec = dict.fromkeys(FEATURES, tf.TensorSpec([None, None], tf.int32))
            dataset = tf.data.Dataset.from_generator(lambda: batches, output_signature=spec)
            answers = super().predict(dataset, verbose=verbose, **kwargs)
        else:
            answers = self._answers(batches, -(-len(order) // batch_size), verbose, **kwargs)
        back = np.argsort(order)
        return keras.tree.map_structure(lambda answer: answer[back], answers)

    def _answers(
        self, batches: Iterable[Any], steps: int, verbose: Any, callbacks: Any = None
    ) -> Any:
        """Does what `keras.Model.predict` does with batches, but makes no dataset for each call."""
        callbacks = self._callbacks(callbacks, verbose, steps)
        self.make_predict_function()
        callbacks.on_predict_begin()
        answers = []
        for step, features in enumerate(batches):
            callbacks.on_predict_batch_begin(step)
            answers.append(self.predict_function([(features,)]))
            callbacks.on_predict_batch_end(step, {"outputs": answers[-1]})
        callbacks.on_predict_end()
        return keras.tree.map_structure(
            lambda *parts: np.concatenate([np.asarray(part) for part in parts]), *answers
        )

    def _scored(
        self,
        strings: tf.Tensor,
        y: npt.NDArray[Any],
        weights: npt.NDArray[Any] | None,
        batch_size: int,
        verbose: Any,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Does what `keras.Model.evaluate` does, but makes no dataset for each call."""
        if weights is not None and len(weights) != len(y):
            raise ValueError(_unequal(len(y), len(weights), "sample_weights"))
        strings = strings[: (steps or len(y)) * batch_size]
        order, batches = self.batches_by_length(strings, batch_size)
        callbacks = self._callbacks(callbacks, verbose, -(-len(order) // batch_size))
        self.make_test_function()
        self.stop_evaluating = False
        self.reset_metrics()
        callbacks.on_test_begin()
        logs: Any = {}
        for step, features in enumerate(batches):
            rows = order[step * batch_size : (step + 1) * batch_size]
            callbacks.on_test_batch_begin(step)
            weight = None if weights is None else weights[rows]
            logs = self.test_function(iter([(features, y[rows], weight)]))
            callbacks.on_test_batch_end(step, logs)
            if self.stop_evaluating:
                break
        values = {name: np.asarray(value).item() for name, value in logs.items()}
        callbacks.on_test_end(values)
        if return_dict:
            return values
        return [*values.values()] if len(values) > 1 else next(iter(values.values()))

    def _callbacks(self, callbacks: Any, verbose: Any, steps: int) -> Any:
        """The callbacks of a pass over some rows, with Keras's progress bar."""
        if isinstance(callbacks, keras.callbacks.CallbackList):
            return callbacks
        return keras.callbacks.CallbackList(
            callbacks, add_progbar=verbose != 0, verbose=verbose, epochs=1, steps=steps, model=self
        )

    def batches_by_length(
        self, strings: tf.Tensor, batch_size: int
    ) -> tuple[np.ndarray, Iterator[dict[str, tf.Tensor]]]:
        """Tokenizes texts and makes one or more batches of features, by length.

        Args:
            strings: texts `(rows,)`, at least one.
            batch_size: rows in a batch.

        Returns:
            The order `(rows,)` in which the batches hold the texts, and the batches.
        """
        if len(strings) <= batch_size:
            return np.arange(len(strings)), iter([self._prepared(strings)])
        parts = [strings[at : at + _PART] for at in range(0, len(strings), _PART)]
        if len(parts) == 1:
            tokens = self._tokenize(strings)
        else:
            with ThreadPoolExecutor() as pool:
                tokens = tf.concat(list(pool.map(self._tokenize, parts)), axis=0)
        order = np.argsort(tokens.row_lengths().numpy(), kind="stable")
        rows = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        return order, (self._pack(tokens, chosen) for chosen in rows)

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string)])
    def _tokenize(self, strings: tf.Tensor) -> tf.RaggedTensor:
        strings = tf.ensure_shape(strings, [None, 2] if self.preprocessor.pair else [None])
        tokens = self.preprocessor.truncate(self.preprocessor.encode(strings))
        splits = tf.cast(tokens.row_splits, tf.int64)
        return tf.RaggedTensor.from_row_splits(tokens.flat_values, splits, validate=False)

    @tf.function(
        input_signature=[
            tf.RaggedTensorSpec([None, None], tf.int32),
            tf.TensorSpec([None], tf.int64),
        ]
    )
    def _pack(self, tokens: tf.RaggedTensor, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.preprocessor.pack(tf.gather(tokens, rows), multiple=LENGTH_MULTIPLE)

    def answers_to(
        self, data: Any, steps: int | None = None, ways: Sequence[Callable[[], None]] = ()
    ) -> tuple[np.ndarray, np.ndarray]:
        """Answers labelled rows; returns the encoded targets `(rows, …)` and the outputs.

        Args:
            data: what `fit` validates on: arrays, or batches `(features, targets, …)`. Batches are
                read once, so that each answer keeps its own target in any order.
            steps: batches to read; all by default.
            ways: functions to call, one before each of several answers to the same rows; the
                outputs are then `(rows, ways, …)`.
        """

        def every(ask: Callable[[Any], Any], features: Any) -> np.ndarray:
            if not ways:
                return np.asarray(ask(features))
            return np.stack([(way(), np.asarray(ask(features)))[1] for way in ways], axis=1)

        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if y is not None:
            return np.asarray(y), every(partial(super().predict, verbose=0), x)
        sized = isinstance(data, keras.utils.PyDataset)
        batches = (data[i] for i in range(data.num_batches)) if sized else iter(data)
        # Keras would have each of several replicas answer the whole batch.
        ask = self._answer_here if self._is_spread else super().predict_on_batch
        truth, outputs = [], []
        for batch in islice(batches, steps):
            features, targets, *_ = batch
            truth.append(np.asarray(targets))
            outputs.append(every(ask, features))
        return np.concatenate(truth), np.concatenate(outputs)

    def vectors(self, features: Any) -> Any:
        """Encodes and pools features, without dropout: float32 `(batch, hidden)`.

        The head of the model reads these vectors.
        """
        encoded = self.encoder(features, training=False)
        return tf.cast(pool(encoded, features["padding_mask"], self.pooling), tf.float32)

    @tf.function(input_signature=[dict.fromkeys(FEATURES, tf.TensorSpec([None, None], tf.int32))])
    def pooled(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        """`vectors` as a graph."""
        return self.vectors(features)

    @tf.function(input_signature=[dict.fromkeys(FEATURES, tf.TensorSpec([None, None], tf.int32))])
    def unpooled(self, features: dict[str, tf.Tensor]) -> tf.RaggedTensor:
        """Encodes features as a graph: float32, ragged `(batch, None, hidden)`."""
        vectors = self.encoder(features, training=False)["sequence_output"]
        lengths = tf.reduce_sum(features["padding_mask"], axis=1)
        return tf.RaggedTensor.from_tensor(tf.cast(vectors, tf.float32), lengths)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, encoder and preprocessor serialised."""
        given = {name: getattr(self, name) for name in self.arguments}
        plain = {
            k: v.as_dict() if isinstance(v, Task) else list(v) if isinstance(v, tuple) else v
            for k, v in given.items()
        }
        parts = {
            part: keras.saving.serialize_keras_object(getattr(self, part))
            for part in ("encoder", "preprocessor")
        }
        frozen = [i for i, weight in enumerate(self.weights) if not weight.trainable]
        layers = [layer.name for layer in self.layers if not layer.trainable]
        further = {
            "trainable": self.trainable,
            "frozen": [frozen, layers],
            "policy": self.dtype_policy.name,
            "compiled": {
                "schedule": self.schedule,
                "warmup": self.warmup,
                "built": bool(self.compiled and self.optimizer.built),
            },
        }
        if self.source is not None:
            further["source"] = self.source
        return {"name": self.name, **parts, **plain, **further}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TextModel:
        """Makes the model again from what `get_config` returned."""
        parts = {
            part: keras.saving.deserialize_keras_object(config[part], custom_objects=custom_objects)
            for part in ("encoder", "preprocessor")
        }
        own = ("trainable", "frozen", "policy", "compiled", "source")
        kept = {k: v for k, v in config.items() if k not in own}
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(config.get("policy", policy))
        try:
            model = cls(**{**kept, **parts})
        finally:
            keras.config.set_dtype_policy(policy)
        model._compiled = config.get("compiled", {})
        model.source = config.get("source")
        if "frozen" in config:
            model._freeze(config["trainable"], *config["frozen"])
        return model

    def quantize(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: Keras cannot load a quantised model that it has saved.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "Keras would save a quantised model that it cannot load again. Leave the weights as "
            "they are; to spend less, build a smaller model. "
            f"Received: quantize of {self.name!r}"
        )

    def _freeze(self, trainable: bool, weights: Sequence[int], layers: Sequence[str]) -> None:
        """Sets which weights are trainable, one by one, as they were when the file was saved."""
        for layer in self.layers:
            layer.trainable = layer.name not in layers
        if not trainable:
            self.trainable = False
        frozen = {*weights}
        for index, weight in enumerate(self.weights):
            weight.trainable = index not in frozen
        for layer in self.layers:
            if isinstance(layer, ClassProbabilities):  # which old files do not list
                for weight in layer.weights:
                    weight.trainable = False

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls the model, as in Keras; takes raw text as `predict` does."""
        return super().__call__(self._features(inputs), *args, **kwargs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Trains on one batch; takes raw text as `fit` does."""
        y = None if y is None else self.encode_targets(y)
        return super().train_on_batch(
            self._features(x),
            y,
            sample_weight=_as_weights(sample_weight),
            class_weight=self._task.encode_class_weight(class_weight, y),
            return_dict=return_dict,
        )

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Evaluates one batch; takes raw text as `evaluate` does."""
        y = None if y is None else self.encode_targets(y)
        weight = _as_weights(sample_weight)
        return super().test_on_batch(self._features(x), y, weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch; takes raw text as `predict` does."""
        return super().predict_on_batch(self._features(x))

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the model, as Keras does; during `fit`, with the peak of the learning rate.

        Raises:
            ValueError: the path is of an HDF5 file, which cannot hold a vocabulary.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                "An HDF5 file holds no vocabulary. Save to a file that ends in .keras, or the "
                f"weights alone with save_weights('….weights.h5'). Received: {filepath}"
            )
        with self._scheduler.at_peak() if self._scheduler is not None else nullcontext():
            super().save(filepath, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Saves the weights, as Keras does; during `fit`, with the peak of the learning rate."""
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
                f"{type(setter).__name__} sets the learning rate of this fit, and replaces the "
                f"model's schedule ({self.schedule}, warmup {self.warmup}). To choose this without "
                "a warning, compile without schedule=.",
                stacklevel=3,
            )
            return callbacks, None
        scheduler = LearningRateOverFit(self.schedule, self.warmup)
        return _joined(scheduler, callbacks), scheduler

    def _features(self, x: Any) -> Any:
        if not is_text(x):
            return x
        strings = self.preprocessor.as_inputs(x)
        return self._prepared(strings) if tf.executing_eagerly() else self.preprocessor(strings)

    @tf.function(input_signature=[tf.TensorSpec(None, tf.string)])
    def _prepared(self, strings: tf.Tensor) -> dict[str, tf.Tensor]:
        """The features of texts, computed as a graph: op by op takes three times as long."""
        return self.preprocessor(
            tf.ensure_shape(strings, [None, 2] if self.preprocessor.pair else [None])
        )

    def _read(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        shuffle: bool = False,
        labelled: bool = True,
    ) -> tuple[Any, Any, Any]:
        """Reads the data arguments of a method.

        Args:
            x: as in `fit`.
            y: as in `fit`.
            sample_weight: as in `fit`.
            batch_size: as in `fit`.
            shuffle: as in `fit`.
            labelled: whether the method needs labels.

        Returns:
            Strings as a tensor `(rows,)`, or else what Keras takes: features, a dataset of them, or
            anything about which Keras raises its own error. Then the encoded labels and the
            weights, None if there are none or a dataset has them.
        """
        encoded = None if y is None else self.encode_targets(y)
        if isinstance(x, (TextTable, TextStream)) and y is not None and x.target:
            raise ValueError(
                "A labelled table has its labels. Leave `y` out, or pass the texts, table.texts, "
                f"with it. Received: {x!r}, y of type {type(y).__name__}"
            )
        if isinstance(x, TextStream):
            if y is not None or sample_weight is not None:
                raise ValueError(
                    "A stream is read in batches, and takes neither labels nor weights by row. "
                    "Read the table without stream=True. "
                    f"Received: y={type(y).__name__}, sample_weight={type(sample_weight).__name__}"
                )
            return make_dataset(x, self, batch_size or 32, shuffle=shuffle), None, None
        if isinstance(x, TextTable):
            self.check_table(x)
            x, encoded = x.texts, encoded if x.labels is None else x.labels
        if is_text(x):
            return self.preprocessor.as_inputs(x), encoded, _as_weights(sample_weight)
        if isinstance(x, (keras.utils.PyDataset, GeneratorType)):
            x = self._of_batches(x, labelled, shuffle)
        elif isinstance(x, tf.data.Dataset):
            x = self._with_features(x, labelled)
        return x, encoded, _as_weights(sample_weight)

    def _text_dataset(
        self, strings: tf.Tensor, y: Any, weights: Any, batch_size: int | None, shuffle: bool
    ) -> tf.data.Dataset:
        columns = {"labels": y, "sample_weights": weights}
        columns = {name: column for name, column in columns.items() if column is not None}
        for name, column in columns.items():
            if len(column) != strings.shape[0]:
                raise ValueError(_unequal(strings.shape[0], len(column), name))
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
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        x, y, weight = self._read(x, y, weight, batch_size)
        if is_text(x):
            return self._text_dataset(x, y, weight, batch_size, shuffle=False)
        return x if y is None else keras.utils.pack_x_y_sample_weight(x, y, weight)

    def _with_features(self, dataset: tf.data.Dataset, labelled: bool) -> tf.data.Dataset:
        """Tokenizes and packs the texts of a dataset, and encodes its labels."""
        spec = dataset.element_spec
        first, *rest = spec if isinstance(spec, tuple) else (spec,)
        parts = keras.tree.flatten(first)
        has_texts = any(getattr(part, "dtype", None) == tf.string for part in parts)
        is_rows = isinstance(first, tf.TensorSpec)
        rest_of = [(2,)] if self.preprocessor.pair and is_rows else [(), (1,)]
        if has_texts and not (
            (is_rows or (self.preprocessor.pair and len(parts) == 2))
            and all(
                p.shape.rank != 0 and (p.shape.rank is None or p.shape[1:] in rest_of)
                for p in parts
            )
        ):
            wanted = "pairs (firsts, seconds) of them" if self.preprocessor.pair else "them"
            raise ValueError(
                "A dataset of strings must yield batches of shape (batch,), or pairs of "
                f"{wanted} and labels. Batch it first, dataset.batch(32), or map its elements to "
                f"such pairs. Received: element_spec={spec}"
            )
        # The targets of `make_dataset` are already encoded.
        is_named = not hasattr(dataset, "passes") and any(
            getattr(part, "dtype", None) == tf.string for part in rest[:1]
        )
        encodes = labelled and rest and (has_texts or is_named)
        if not has_texts and not encodes:
            return dataset

        def convert(x: Any, *rest: Any) -> Any:
            features = self.preprocessor(x) if has_texts else x
            if not labelled or not rest:
                return features
            return (features, self._task.encode_batch(rest[0], has_texts, self._loss), *rest[1:])

        return untuned(dataset.map(convert, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1))

    def _of_batches(self, source: Any, labelled: bool, shuffle: bool) -> Any:
        """Makes a dataset from batches of texts that Python yields; leaves others to Keras."""
        is_generator = isinstance(source, GeneratorType)
        first = next(source, None) if is_generator else source[0]
        batches = (batch for batch in chain([first], source)) if is_generator else source
        if not is_text(keras.utils.unpack_x_y_sample_weight(first)[0]):
            return batches

        def convert(batch: Any) -> tuple[Any, ...]:
            x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
            if y is None or not labelled:
                return (self.preprocessor.as_inputs(x),)
            weights = () if weight is None else (_as_weights(weight),)
            return (self.preprocessor.as_inputs(x), self.encode_targets(y), *weights)

        size = None if is_generator else source.num_batches

        def one_pass() -> Iterator[tuple[Any, ...]]:
            if shuffle and size:  # the batches, as Keras does
                yield from (convert(source[i]) for i in random.sample(range(size), size))
            else:
                yield from map(convert, batches)
            if not is_generator:
                source.on_epoch_end()

        signature = tuple(
            tf.TensorSpec([None, *part.shape[1:]], part.dtype) for part in convert(first)
        )
        dataset = tf.data.Dataset.from_generator(one_pass, output_signature=signature)
        if size is not None:
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(size))
        dataset = dataset.map(
            lambda texts, *rest: (self.preprocessor(texts), *rest),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        return untuned(dataset.prefetch(1))


class RunningTextModel(TextModel):
    """A model of running text, which is its own target: a file, table, stream or list of texts."""

    own_target: ClassVar[str]
    usual_epochs = 5

    def _read(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        batch_size: int | None,
        shuffle: bool = False,
        labelled: bool = True,
    ) -> tuple[Any, Any, Any]:
        is_running = isinstance(x, (str, os.PathLike, TextTable, TextStream)) or is_text(x)
        if not is_running or x is None:
            return x, y, sample_weight
        if y is not None or sample_weight is not None:
            raise ValueError(
                f"Running text is its own target: {self.own_target}. Leave `y` and `sample_weight` "
                f"out. Received: y of type {type(y).__name__}"
            )
        return self.own_dataset(x, batch_size or 32, shuffle, None), None, None

    def _validation_data(self, data: Any, batch_size: int | None) -> Any:
        if isinstance(data, tuple):
            return super()._validation_data(data, batch_size)
        return None if data is None else self._read(data, None, None, batch_size)[0]


class Predictor(TextModel):
    """A model that answers from one vector, for any kind of input."""

    arguments: Sequence[str] = ("task", "pooling", "dropout", "poolings", "head_dim")

    def keep(
        self,
        encoder: keras.Model,
        preprocessor: Any,
        task: Task,
        pooling: str,
        dropout: float,
        poolings: Sequence[str],
        head_dim: int | None,
    ) -> None:
        """Keeps the constructor's arguments."""
        self._task = task
        self.encoder = encoder
        self.preprocessor = preprocessor
        self.pooling = pooling
        self.dropout = dropout
        self.poolings = tuple(poolings)
        self.head_dim = head_dim


def scores_of(vectors: Any, units: int, dropout: float, head_dim: int | None) -> Any:
    """The layers of a head: symbolic vectors `(batch, hidden)` to float32 scores `(batch, units)`.

    Args:
        vectors: pooled vectors.
        units: number of scores.
        dropout: rate before every layer.
        head_dim: width of a ReLU layer before the last one; none if None.

    Raises:
        ValueError: a value out of its range.
    """
    check_rate(dropout=dropout)
    if head_dim is not None:
        check_whole(head_dim=head_dim)
        vectors = keras.layers.Dropout(dropout, name="head_dropout")(vectors)
        vectors = keras.layers.Dense(head_dim, activation="relu", name="head")(vectors)
    vectors = keras.layers.Dropout(dropout, name="dropout")(vectors)
    return keras.layers.Dense(units, dtype="float32", name="logits")(vectors)


def _unequal(texts: int, others: int, name: str) -> str:
    return f"There must be as many {name} as texts. Received: {texts} texts, {others} {name}"


def _as_weights(weights: Any) -> np.ndarray | None:
    return None if weights is None else np.asarray(weights, np.float32)


def _split_end(share: float, columns: Any) -> tuple[Any, Any]:
    """Splits columns, nested or not, as Keras does: the last `share` of the rows is to validate."""
    if not 0 < share < 1:
        raise ValueError(
            f"`validation_split` must lie between 0 and 1. Received: validation_split={share!r}"
        )
    flat = [column for column in keras.tree.flatten(columns) if column is not None]
    rows = len(flat[0])
    at = int(rows * (1 - share))
    if at in (0, rows):
        raise ValueError(
            "Both parts of a validation split need a row. Use more texts or another share. "
            f"Received: {rows} rows, validation_split={share!r}"
        )

    def part(rows: slice) -> Any:
        return keras.tree.map_structure(lambda c: None if c is None else c[rows], columns)

    return part(slice(at)), part(slice(at, None))


def _joined(own: keras.callbacks.Callback, callbacks: Any) -> Any:
    """The callbacks of the user, with one of our own."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(own)
        return callbacks
    return [own, *listed(callbacks)]


def as_rows(rows: Any) -> npt.NDArray[np.object_]:
    """Turns lists into an object array of one dimension."""
    made = np.empty(len(rows), object)
    for place, row in enumerate(rows):
        made[place] = row
    return made
