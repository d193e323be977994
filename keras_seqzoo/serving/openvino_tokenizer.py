"""A tokenizer as an OpenVINO graph, made of operations of `openvino_tokenizers`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from keras_seqzoo.features import FEATURES
from keras_seqzoo.preprocessing import words
from keras_seqzoo.preprocessing.base import Preprocessor
from keras_seqzoo.preprocessing.wordpiece import WordPiecePreprocessor
from keras_seqzoo.serving import tokenizer_files as files


@cache
def openvino_core() -> Any:
    """The only `openvino.Core` of the process, which is never deleted.

    When a core first compiles, it gives the thread a stack for signals, and frees it when it is
    deleted. With two cores at once, the thread may keep a stack that was freed; then the next
    signal, such as Ctrl-C, ends the process (seen with OpenVINO 2026.4).
    """
    import openvino

    return openvino.Core()


def openvino_tokenizer(preprocessor: Preprocessor) -> Any:
    """Makes a graph from `text`, string `(batch,)`, to the features, int32 `(batch, length)` each.

    A text without tokens gets none, as in `tokenizer_files.tokenizer_of`.

    Args:
        preprocessor: the preprocessor of a model.

    Returns:
        An `openvino.Model`; None if there are no operations for the preprocessor, or if the ids
        differ for texts that are known to be hard.
    """
    make = _KINDS.get(type(preprocessor))
    if make is None or preprocessor.pair:
        return None
    graph = _graph(preprocessor, make)
    run = openvino_core().compile_model(graph, "CPU")
    texts = [*files.PROBES, *files.TEXTS]
    found = run({"text": np.array(texts)})
    features = {name: tf.constant(found[name]) for name in FEATURES}
    return graph if files.are_same(preprocessor, texts, features) else None


def _graph(preprocessor: Preprocessor, make: Callable[[Any, Any], Any]) -> Any:
    import openvino
    from openvino_tokenizers import tokenizer_pipeline as steps

    create = _create()
    text = openvino.op.Parameter(openvino.Type.string, openvino.PartialShape(["?"]))
    text.output(0).set_names({"text"})
    tokens = make(preprocessor, _create("opset15")("StringTensorUnpack", text.outputs()).outputs())
    special = [i for i in (preprocessor.start_id, preprocessor.end_id) if i is not None]
    room = openvino.op.Constant(np.array(preprocessor.sequence_length - len(special), np.int32))
    side, mode = (steps.create_string_constant_node(name) for name in ("right", "longest_first"))
    cut = create("Truncate", [*tokens, room.output(0), *side, *mode]).outputs()
    around = [
        [] if number is None else [steps.AddToken(_token_id=number)]
        for number in (preprocessor.start_id, preprocessor.end_id)
    ]
    whole = steps.CombineSegmentsStep([*around[0], steps.Sequence(), *around[1]]).get_ov_subgraph(
        cut
    )
    ids, segments, mask = steps.PaddingStep(_token_id=preprocessor.pad_id).get_ov_subgraph(whole)
    for output, name in zip((ids, mask, segments), FEATURES, strict=True):
        output.tensor.set_names({name})
    return openvino.Model([ids, mask, segments], [text], "tokenizer")


def _of_word_pieces(preprocessor: WordPiecePreprocessor, texts: Any) -> Any:
    from openvino_tokenizers import tokenizer_pipeline as steps

    # The map cannot hold the character 0.
    texts = steps.RegexNormalizationStep(r"\x{0}", " ").get_ov_subgraph(texts)
    texts = _mapped(texts, files.map_of_word_pieces(preprocessor.lowercase))
    pieces = steps.WordPieceTokenizationStep(list(preprocessor.vocabulary))
    return pieces.get_ov_subgraph(_split(texts))


def _of_words(preprocessor: words.WordPreprocessor, texts: Any) -> Any:
    from openvino import op
    from openvino_tokenizers import tokenizer_pipeline as steps

    def replaced(pattern: str, content: str, texts: Any) -> Any:
        return steps.RegexNormalizationStep(pattern, content).get_ov_subgraph(texts)

    texts = replaced(files.LINE_BREAK_TAGS, " ", texts)
    texts = replaced(words.APOSTROPHES, "'", texts)
    if preprocessor.normalize:
        texts = steps.NormalizeUnicode("NFKC").get_ov_subgraph(texts)
        texts = replaced(words.IGNORABLE, "", texts)
    texts = replaced(words.SPACES, " ", texts)
    if preprocessor.lowercase:
        texts = replaced(files.FINAL_SIGMA, "ς", texts)
        texts = _mapped(texts, files.map_of_lower_case())
    texts = replaced(files.QUOTES, " ' ", texts)
    found = _split(replaced(words.SIGNS, " $1 ", texts))
    vocabulary = [
        *steps.create_string_constant_node(list(preprocessor.vocabulary)),
        op.Constant(np.arange(len(preprocessor.vocabulary), dtype=np.int32)).output(0),
        op.Constant(np.array(preprocessor.unknown_id, np.int32)).output(0),
    ]
    return [*found[:2], *_create()("VocabEncoder", [*found[2:], *vocabulary]).outputs()]


def _mapped(texts: Any, characters: bytes) -> Any:
    from openvino_tokenizers import tokenizer_pipeline as steps

    step = steps.CharsmapStep(charsmap=characters, remove_extra_whitespaces=False)
    return step.get_ov_subgraph(texts)


def _split(texts: Any) -> Sequence[Any]:
    """Splits texts at spaces."""
    from openvino import op
    from openvino_tokenizers import tokenizer_pipeline as steps

    begins, ends, signs = texts
    # Without any character at all, `RegexSplit` treats any number of texts as one.
    space = op.Constant(np.array([32], np.uint8)).output(0)
    signs = _create("opset1")("Concat", [signs, space], {"axis": 0}).output(0)
    ragged = steps.TokenizerPipeline.add_ragged_dimension([begins, ends, signs])
    return steps.RegexSplitStep(r"\s+").get_ov_subgraph(ragged)


def _create(opset: str | None = None) -> Callable[..., Any]:
    import openvino_tokenizers

    create: Callable[..., Any] = openvino_tokenizers._get_factory(opset).create
    return create


_KINDS: dict[type, Callable[[Any, Any], Any]] = {
    WordPiecePreprocessor: _of_word_pieces,
    words.WordPreprocessor: _of_words,
}
