"""Small SavedModels in the formats of TF Hub, written by the tests themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_text

PIECES = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "great", "awful", "film",
    "story", "cast", "book", "i", "loved", "hated", "it", "the", "was", "fun", "and", "dull", "!",
    ",", "such", "lovely", "##ly", "##ness", "never", "seen", "words",
]  # fmt: skip
HIDDEN, POSITIONS, LAYERS = 8, 16, 3
HEADS, RATE = 2, 0.1  # of `Bert`


class Encoder(tf.Module):
    """Embeddings, three layers that mix each token with the mean of all, and a pooler."""

    def __init__(self, vocabulary: Path | None, rows: int = len(PIECES)):
        super().__init__()
        random = tf.random.Generator.from_seed(7)

        def variable(name: str, *shape: int) -> tf.Variable:
            return tf.Variable(random.normal(shape) * 0.2, name=name)

        self.words = variable("word_embeddings/embeddings", rows, HIDDEN)
        self.positions = variable("position_embedding/embeddings", POSITIONS, HIDDEN)
        self.kernels = [
            variable(f"transformer/layer_{i}/kernel", HIDDEN, HIDDEN) for i in range(LAYERS)
        ]
        self.pooler = variable("pooler_transform/kernel", HIDDEN, HIDDEN)
        self.do_lower_case = tf.Variable(True, trainable=False)
        if vocabulary is not None:
            self.vocab_file = tf.saved_model.Asset(str(vocabulary))

    @tf.function
    def __call__(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        length = tf.shape(inputs["input_word_ids"])[1]
        x = tf.gather(self.words, inputs["input_word_ids"]) + self.positions[:length]
        real = tf.cast(inputs["input_mask"], tf.float32)[:, :, None]
        for kernel in self.kernels:
            mean = tf.reduce_sum(x * real, axis=1, keepdims=True) / tf.reduce_sum(
                real, axis=1, keepdims=True
            )
            x = x + tf.tanh((x + mean) @ kernel)
            if training:
                x = tf.nn.dropout(x, 0.1)
        pooled = tf.tanh(x[:, 0] @ self.pooler)
        return {"sequence_output": x, "pooled_output": pooled, "default": pooled}


class Bert(tf.Module):
    """BERT with the names that TensorFlow's Model Garden gives its weights.

    Args:
        vocabulary: as `write_vocabulary` writes it.
        width: of the embeddings.
        activation: `"gelu_tanh"`, `"gelu"` or `"relu"`.
        rates: of dropout, after the embeddings and in the layers.
        extra: whether it has a weight that BERT has not.
        sign: of its pooled output; BERT's is 1.
    """

    def __init__(
        self, vocabulary: Path, *, width: int = HIDDEN, activation: str = "gelu_tanh",
        rates: tuple[float, float] = (RATE, RATE), extra: bool = False, sign: float = 1.0,
    ):  # fmt: skip
        super().__init__()
        self.vocab_file = tf.saved_model.Asset(str(vocabulary))
        self.do_lower_case = tf.Variable(True, trainable=False)
        self.activation, self.rates, self.sign = activation, rates, sign
        random = tf.random.Generator.from_seed(7)
        shapes = {
            "word_embeddings/embeddings": (len(PIECES), width),
            "position_embedding/embeddings": (POSITIONS, width),
            "type_embeddings/embeddings": (2, width),
            **self.norm("embeddings/layer_norm", width),
            **self.dense("pooler_transform", (HIDDEN,), (HIDDEN,)),
        }
        if width != HIDDEN:
            shapes |= self.dense("embedding_projection", (width,), (HIDDEN,))
        heads = (HEADS, HIDDEN // HEADS)
        for name in ("transformer/layer_0/", "transformer/layer_1/"):
            for part in ("query", "key", "value"):
                shapes |= self.dense(f"{name}self_attention/{part}", (HIDDEN,), heads)
            shapes |= self.dense(f"{name}self_attention/attention_output", heads, (HIDDEN,))
            shapes |= self.norm(f"{name}self_attention_layer_norm", HIDDEN)
            shapes |= self.dense(f"{name}intermediate", (HIDDEN,), (2 * HIDDEN,))
            shapes |= self.dense(f"{name}output", (2 * HIDDEN,), (HIDDEN,))
            shapes |= self.norm(f"{name}output_layer_norm", HIDDEN)
        if extra:
            shapes["transformer/layer_0/gate"] = (1,)
        drawn = {name: random.normal(shape) * 0.3 for name, shape in shapes.items()}
        self.w = [tf.Variable(v + name.endswith("gamma"), name=name) for name, v in drawn.items()]

    @staticmethod
    def norm(name: str, width: int) -> dict[str, Any]:
        return {f"{name}/gamma": (width,), f"{name}/beta": (width,)}

    @staticmethod
    def dense(name: str, inputs: Any, outputs: Any) -> dict[str, Any]:
        return {f"{name}/kernel": (*inputs, *outputs), f"{name}/bias": outputs}

    @tf.function
    def __call__(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        w = {variable.name.split(":")[0]: variable for variable in self.w}

        def norm(x: Any, name: str) -> Any:
            mean, variance = tf.nn.moments(x, [-1], keepdims=True)
            x = (x - mean) / tf.sqrt(variance + 1e-12)
            return x * w[f"{name}/gamma"] + w[f"{name}/beta"]

        def dense(x: Any, name: str, form: str = "blx,xy->bly") -> Any:
            return tf.einsum(form, x, w[f"{name}/kernel"]) + w[f"{name}/bias"]

        def drop(x: Any, rate: float) -> Any:
            return tf.nn.dropout(x, rate) if training else x

        active = {
            "relu": tf.nn.relu, "gelu": tf.nn.gelu,
            "gelu_tanh": lambda x: tf.nn.gelu(x, approximate=True),
        }[self.activation]  # fmt: skip
        x = tf.gather(w["word_embeddings/embeddings"], inputs["input_word_ids"])
        x += w["position_embedding/embeddings"][: tf.shape(x)[1]]
        x += tf.gather(w["type_embeddings/embeddings"], inputs["input_type_ids"])
        x = drop(norm(x, "embeddings/layer_norm"), self.rates[0])
        if "embedding_projection/kernel" in w:
            x = dense(x, "embedding_projection")
        hidden = -1e9 * (1 - tf.cast(inputs["input_mask"], tf.float32))[:, None, None]
        for name in ("transformer/layer_0/", "transformer/layer_1/"):
            q, k, v = (
                dense(x, f"{name}self_attention/{part}", "blx,xhd->blhd")
                for part in ("query", "key", "value")
            )
            scores = tf.einsum("blhd,bmhd->bhlm", q, k) / (HIDDEN // HEADS) ** 0.5
            means = tf.einsum("bhlm,bmhd->blhd", tf.nn.softmax(scores + hidden), v)
            attended = dense(means, f"{name}self_attention/attention_output", "blhd,hdy->bly")
            x = norm(x + drop(attended, self.rates[1]), f"{name}self_attention_layer_norm")
            changed = dense(active(dense(x, f"{name}intermediate")), f"{name}output")
            x = norm(x + drop(changed, self.rates[1]), f"{name}output_layer_norm")
        if "transformer/layer_0/gate" in w:
            x += 0 * w["transformer/layer_0/gate"]
        pooled = self.sign * tf.tanh(dense(x[:, :1], "pooler_transform")[:, 0])
        return {"sequence_output": x, "pooled_output": pooled, "default": pooled}


class Preprocessor(tf.Module):
    """WordPiece and BERT's packing; `fold` tells whether case is folded."""

    def __init__(self, vocabulary: Path, fold: bool = True, odd: bool = False):
        super().__init__()
        self.vocab_file = tf.saved_model.Asset(str(vocabulary))
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                self.vocab_file, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
            ), 1,
        )  # fmt: skip
        self.tokenize = _Tokenize(table, fold, odd)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, sentences: tf.Tensor) -> Any:
        tokens = self.tokenize(sentences).merge_dims(1, 2)[:, :6]
        ends = tf.ones([tokens.nrows(), 1], tf.int32)
        ids = tf.concat([2 * ends, tokens, 3 * ends], axis=1).to_tensor(shape=[None, 8])
        return {
            "input_word_ids": ids,
            "input_mask": tf.cast(ids != 0, tf.int32),
            "input_type_ids": tf.zeros_like(ids),
        }


class _Tokenize(tf.Module):
    def __init__(self, table: Any, fold: bool, odd: bool):
        super().__init__()
        self.tokenizer = tensorflow_text.BertTokenizer(
            table, token_out_type=tf.int32, lower_case=fold
        )
        self.odd = odd

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, sentences: tf.Tensor) -> tf.RaggedTensor:
        # What no fast tokenizer does: one that reads "film" as "movie" would be odd.
        if self.odd:
            sentences = tf.strings.regex_replace(sentences, "quick", "good")
        return self.tokenizer.tokenize(sentences)


class Calm(tf.Module):
    """An encoder whose call takes its inputs alone, without `training`."""

    def __init__(self, vocabulary: Path):
        super().__init__()
        self.encoder = Encoder(vocabulary)
        self.vocab_file = self.encoder.vocab_file

    @tf.function
    def __call__(self, inputs: Any) -> Any:
        return self.encoder(inputs, False, None)


class Nnlm(tf.Module):
    """A text embedding of whole strings, as nnlm and the Universal Sentence Encoder are."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, sentences: tf.Tensor) -> tf.Tensor:
        return tf.zeros([tf.shape(sentences)[0], 4])


class Image(tf.Module):
    """An image feature vector."""

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4, 3], tf.float32)])
    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(images, axis=[1, 2])


def specs() -> dict[str, tf.TensorSpec]:
    """What an encoder takes."""
    names = ("input_word_ids", "input_mask", "input_type_ids")
    return {name: tf.TensorSpec([None, None], tf.int32, name) for name in names}


def write_vocabulary(folder: Path, pieces: list[str] | None = None) -> Path:
    """Writes a `vocab.txt`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vocab.txt"
    path.write_text("".join(f"{piece}\n" for piece in pieces or PIECES))
    return path


def write_encoder(folder: Path, vocabulary: Path | None, rows: int = len(PIECES)) -> Path:
    """Writes an encoder's SavedModel that no graph of ours can stand for."""
    return _write(folder, Encoder(vocabulary, rows))


def write_bert(folder: Path, vocabulary: Path, **changes: Any) -> Path:
    """Writes the SavedModel of a `Bert`."""
    return _write(folder, Bert(vocabulary, **changes))


def _write(folder: Path, module: tf.Module) -> Path:
    """Traced with and without training, as TF Hub's are."""
    for training in (True, False):
        module.__call__.get_concrete_function(specs(), training, None)
    tf.saved_model.save(module, str(folder))
    return folder
