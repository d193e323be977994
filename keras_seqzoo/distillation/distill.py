"""`distill`: a student learns what a teacher answers, from texts with labels and without."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import keras

from keras_seqzoo.checks import check_positive, check_rate
from keras_seqzoo.data.series import SeriesTable
from keras_seqzoo.data.splitting import check_seed
from keras_seqzoo.data.stream import TextStream
from keras_seqzoo.data.table import TextTable
from keras_seqzoo.distillation.augmenting import Augmentation
from keras_seqzoo.distillation.teachers import Progress, Teacher, ask
from keras_seqzoo.tasks.model import TextModel


def distill(
    teacher: Any,
    student: TextModel,
    texts: TextTable | Sequence[Any],
    *,
    unlabelled: TextTable | Sequence[Any] | None = None,
    augment: Any = 0,
    temperature: float = 1.0,
    label_share: float = 0.0,
    cache: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **fit: Any,
) -> keras.callbacks.History:
    """Trains a student to answer like a teacher.

    The teacher answers every text once: the given texts, and those made from them. The student then
    learns its answers with `fit`. For classes, the answers are probabilities, and the loss is the
    cross-entropy between both models' probabilities at a temperature, times its square (Hinton et
    al. 2015, Distilling the Knowledge in a Neural Network). For several labels they are the labels'
    probabilities, for numbers the numbers, with the loss that the student was compiled with.
    Validation and calibration use the true labels, as in any other training.

    Args:
        teacher: a classifier, labeller or regressor of this package or one that it exported, or
            the path of its file or folder; or any object whose `predict` takes a list of texts
            and returns float `(rows, names)`: for classes probabilities, in the order of its
            attribute `classes`. scikit-learn's `predict_proba` and `classes_` work, too.
        student: a compiled model of `build_model`, with the same task and names; afterwards it is
            compiled as before.
        texts: the training table, or texts, or pairs for models of pairs; in memory.
        unlabelled: more texts, which need no labels; any labels are ignored.
        augment: how many texts to make from each; or a dict of `copies`, `mask`, `ngram` and `mix`,
            see `distillation.augmenting.Augmentation`. Default: none.
        temperature: for classes, above 0: how much the unlikely ones count. 1 learns the
            probabilities as they are; a high one learns the scores, like their squared error.
        label_share: the share of a row's label, if it has one, in what the student learns for the
            row; at least 0 and below 1. Default: only the teacher's answer.
        cache: folder to keep the teacher's answers in, block by block. After an interruption, or
            for another student with the same texts, the teacher answers only the missing ones.
        seed: random seed of the texts that are made.
        progress: a function that is called with the number of texts answered and of all texts; by
            default a bar is drawn unless `verbose=0`.
        **fit: arguments of the student's `fit`, such as `epochs`, `batch_size`,
            `validation_data`, `callbacks` and `calibrate`. An epoch reads all texts, including
            those made. With `Recovery` among the callbacks, a killed training can continue.

    Returns:
        The `keras.callbacks.History` of `fit`; `accuracy` (for labels `binary_accuracy`) is how
        often the student agrees with the teacher, and with `val_` before it how often it is right.

    Raises:
        FileNotFoundError: a path without a teacher.
        TypeError: a teacher that does not predict, or a student that is not a model of this
            package.
        ValueError: no texts, a teacher of another task, other names or inputs, answers that are not
            probabilities, or a value out of its range.

    Example:
        >>> import keras_seqzoo as sz
        >>> class Lexicon:
        ...     classes = ["bad", "good"]
        ...     def predict(self, texts):
        ...         return [[0.1, 0.9] if "good" in text else [0.8, 0.2] for text in texts]
        >>> texts = ["a good film", "a dull film", "good fun", "no fun"]
        >>> student = sz.build_model("gru", texts, classes=["good", "bad"], units=8)
        >>> history = sz.distill(Lexicon(), student, texts, augment=4, epochs=2, verbose=0)
        >>> sorted(history.history)
        ['accuracy', 'loss']
    """
    if not isinstance(student, TextModel) or not student.compiled:
        raise TypeError(
            "A student is a compiled model of this package. Build it first: build_model(name, "
            f"table). Received: {student!r:.100}"
        )
    check_positive(temperature=temperature)
    check_rate(label_share=label_share)
    check_seed(seed)
    task, augmentation = student.task, Augmentation.of(augment)
    learning = task.learning(temperature)
    asked = Teacher(teacher, task, student.pair)
    if isinstance(texts, TextTable):
        student.check_table(texts)
    rows = _rows(texts, student) + ([] if unlabelled is None else _rows(unlabelled, student))
    if not rows:
        raise ValueError(
            "A student learns from texts, at least one. Pass the training table, or texts without "
            f"labels. Received: {texts!r:.100}"
        )
    rows = rows + augmentation.texts(rows, seed)
    answers = ask(asked, rows, cache, progress or _teller(fit.get("verbose", "auto")))
    labels = texts.labels if isinstance(texts, TextTable) and texts.target else None
    lessons = task.lessons(answers, labels, label_share, temperature)
    before = {**keras.saving.deserialize_keras_object(student.get_compile_config())}
    _compile(student, {**before, **learning})
    try:
        return student.fit(student.preprocessor.as_inputs(rows), lessons, **fit)
    finally:
        _compile(student, before)


def _compile(student: TextModel, arguments: dict[str, Any]) -> None:
    """Compiles a student for another loss, and keeps its optimizer and schedule."""
    kept = {name: getattr(student, name) for name in ("optimizer", "schedule", "warmup")}
    steps = student.steps_per_execution
    student.compile(**{**arguments, **kept, "jit_compile": student.jit_compile})
    student.steps_per_execution = steps


def _rows(texts: Any, student: TextModel) -> list[Any]:
    """Returns texts as strings, or pairs of them as tuples.

    Raises:
        ValueError: texts instead of pairs, or the reverse.
    """
    if isinstance(texts, (SeriesTable, TextStream)):
        raise TypeError(
            "`distill` needs texts in memory. Read them with "
            f"read_table(source), without stream=True. Received: {texts!r}"
        )
    if not len(texts):
        return []
    table = texts if isinstance(texts, TextTable) else TextTable.from_texts(texts)
    if (table.inputs.name == "pair") != student.pair:
        wanted = "pairs of texts" if student.pair else "one text a row"
        raise ValueError(f"The student reads {wanted}. Pass such rows. Received: {table!r}")
    rows = table.texts.tolist()
    return [tuple(row) for row in rows] if student.pair else rows


def _teller(verbose: Any) -> Progress:
    if verbose == 0:
        return lambda done, total: None
    bar: Any = None

    def tell(done: int, total: int) -> None:
        nonlocal bar
        bar = bar or keras.utils.Progbar(total, unit_name="text")
        bar.update(done)

    return tell
