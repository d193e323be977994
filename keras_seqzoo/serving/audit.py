"""`audit` checks whether TensorFlow Serving would load a SavedModel, and whether it answers."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from keras_seqzoo.serving import warmup
from keras_seqzoo.serving.session import SavedSession, first_line

# These ops call the Python process that built the graph; a server has none.
_PYTHON_OPS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
# Besides TensorFlow's own ops, the server links those of TensorFlow Text (model_servers/BUILD).
_TEXT_OPS = frozenset(
    {
        "CaseFoldUTF8", "ConstrainedSequence", "FastBertNormalize",
        "FastWordpieceTokenizeWithOffsets", "FindSourceOffsets", "MaxSpanningTree",
        "NormalizeUTF8", "NormalizeUTF8WithOffsetsMap", "PhraseTokenize",
        "RegexSplitWithOffsets", "RougeL", "SentenceFragments", "SentenceFragmentsV2",
        "SentencepieceDetokenizeOp", "SentencepieceIdToStringOp", "SentencepieceOp",
        "SentencepieceStringToIdOp", "SentencepieceTokenizeOp",
        "SentencepieceTokenizeWithOffsetsOp", "SentencepieceVocabSizeOp",
        "SplitMergeTokenizeWithOffsets", "TokenizerFromLogits",
        "UnicodeScriptTokenizeWithOffsets", "WhitespaceTokenizeWithOffsets",
        "WordpieceTokenizeWithOffsets",
    }
)  # fmt: skip
_TEXT_PREFIX = "TFText>"  # of TensorFlow Text's newer ops
_FILE_OPS = frozenset({"MatchingFiles", "ReadFile", "WriteFile"})


class AuditError(ValueError):
    """A SavedModel that TensorFlow Serving would not serve; nothing was published."""


@dataclass(frozen=True)
class Signature:
    """A signature: its API, and its inputs and outputs as `name: dtype (shape)`."""

    method: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


@dataclass
class Audit:
    """What `audit` found.

    Attributes:
        path: the folder of the version.
        problems: why it would not serve, a sentence each; empty if it would.
        notes: other things that a user should know.
        signatures: signatures by name.
        sizes: bytes of `graph`, `variables`, `assets` and `total`.
        variables: number of variables.
        parameters: how many numbers the variables hold.
        ops: number of different ops in the graph and its functions.
        text_ops: names of its ops that TensorFlow Text provides.
        warmup_requests: number of recorded requests; the model answered all of them.
    """

    path: Path
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    signatures: dict[str, Signature] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    variables: int = 0
    parameters: int = 0
    ops: int = 0
    text_ops: Sequence[str] = ()
    warmup_requests: int = 0

    @property
    def passed(self) -> bool:
        """Whether it would serve."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """Whether it would serve, in words."""
        return "TensorFlow loads it, and it answers" if self.passed else "not fit"

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {self.verdict}",
            *(f"problem: {problem}" for problem in self.problems),
            *(f"note: {note}" for note in self.notes),
            f"signatures: {', '.join(self.signatures) or 'none'}",
            f"{self.sizes.get('total', 0) / 1e6:,.1f} MB, {self.parameters:,} numbers in "
            f"{self.variables} variables, {self.warmup_requests} warm-up requests",
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values, for JSON."""
        return {**asdict(self), "path": str(self.path), "passed": self.passed}


def audit(path: str | os.PathLike[str]) -> Audit:
    """Checks a SavedModel, loads it into a session like a server, and sends it requests.

    It reads every stored variable, which verifies the checksums. It sends the recorded warm-up
    requests; without them, it sends `serving_default` a few texts, or pairs of texts.

    Args:
        path: the folder of a version.

    Raises:
        FileNotFoundError: no SavedModel there.
    """
    path = Path(path)
    if not (path / "saved_model.pb").is_file():
        raise FileNotFoundError(
            "There is no SavedModel: saved_model.pb is missing. Pass the folder of a version. "
            f"Received: {path}"
        )
    found = Audit(path)
    found.sizes = _sizes(path)
    try:
        graph = _read_graph(path)
    except (DecodeError, ValueError, OSError) as error:
        found.problems.append(f"saved_model.pb cannot be read: {first_line(error)}")
        return found
    _look_at_signatures(graph, found)
    _look_at_ops(graph, found)
    _look_at_variables(found)
    if found.passed:
        _ask(graph, found)
    return found


def _sizes(path: Path) -> dict[str, int]:
    sizes: Counter[str] = Counter(graph=0, variables=0, assets=0)
    for file in path.rglob("*"):
        if file.is_file():
            part = file.relative_to(path).parts[0]
            kind = part if part in ("variables", "assets") else "graph"
            sizes["assets" if part == "assets.extra" else kind] += file.stat().st_size
    return {**sizes, "total": sizes.total()}


def _read_graph(path: Path) -> Any:
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    graphs = [g for g in saved.meta_graphs if tf.saved_model.SERVING in g.meta_info_def.tags]
    if not graphs:
        raise ValueError("no graph is tagged 'serve'")
    return graphs[0]


def _look_at_signatures(graph: Any, found: Audit) -> None:
    for name, signature in sorted(graph.signature_def.items()):
        if signature.method_name:
            found.signatures[name] = Signature(
                signature.method_name, _described(signature.inputs), _described(signature.outputs)
            )
    if tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY not in found.signatures:
        names = ", ".join(found.signatures) or "none"
        found.problems.append(f"there is no signature serving_default (there are: {names})")


def _described(infos: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: f"{tf.as_dtype(info.dtype).name} {_shape(info.tensor_shape)}"
        for name, info in sorted(infos.items())
    }


def _shape(shape: Any) -> str:
    if shape.unknown_rank:
        return "(any shape)"
    sizes = ["?" if dim.size < 0 else str(dim.size) for dim in shape.dim]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def _look_at_ops(graph: Any, found: Audit) -> None:
    nodes = list(_nodes(graph))
    functions = {f.signature.name for f in graph.graph_def.library.function}
    ops = {node.op for node in nodes} - functions
    found.ops = len(ops)
    known = set(dir(tf.raw_ops))
    found.text_ops = sorted(op for op in ops if op in _TEXT_OPS or op.startswith(_TEXT_PREFIX))
    python = sorted({node.name for node in nodes if node.op in _PYTHON_OPS})
    if python:
        found.problems.append(
            f"it calls Python, which a server does not have: {_some(python)}. Write the layer with "
            "TensorFlow ops instead of tf.py_function or tf.numpy_function"
        )
    compiled = sorted(op for op in ops if op.startswith("Xla"))
    if compiled:
        found.problems.append(
            "it holds ops of XLA's compiler, which stock TensorFlow Serving lacks: "
            f"{_some(compiled)}"
        )
    # Ops whose names start with an underscore come from TensorFlow's own graph rewriting.
    foreign = {op for op in ops if op not in known and not op.startswith("_")}
    foreign = foreign - set(found.text_ops) - set(compiled)
    if foreign:
        found.problems.append(
            f"it holds ops that stock TensorFlow Serving lacks: {_some(sorted(foreign))}"
        )
    cudnn = sorted(op for op in ops if op.startswith("Cudnn"))
    if cudnn:
        found.notes.append(f"runs on GPUs only: {_some(cudnn)}")
    files = sorted(ops & _FILE_OPS)
    if files:
        found.notes.append(f"its graph may reach files: {_some(files)}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _look_at_variables(found: Audit) -> None:
    prefix = found.path / "variables" / "variables"
    if not prefix.with_suffix(".index").is_file():
        if (found.path / "variables").exists():
            found.problems.append("variables/variables.index is missing")
        return
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            value = np.asarray(reader.get_tensor(name))  # scalars are not arrays
            if value.dtype.kind not in "OSU" and not name.startswith("save_counter"):
                found.variables += 1
                found.parameters += value.size
                if value.dtype.kind == "f" and not np.isfinite(value).all():
                    found.notes.append(f"a variable holds numbers that are not finite: {name}")
    except (tf.errors.OpError, LookupError, ValueError, RuntimeError, OSError) as error:
        found.problems.append(f"the variables cannot be read: {first_line(error)}")


def _ask(graph: Any, found: Audit) -> None:
    """Loads and runs the SavedModel as a server does."""
    try:
        session = SavedSession(found.path)
    except ValueError as error:
        reason = first_line(error.__cause__ or error)
        found.problems.append(f"TensorFlow's loader refuses it: {reason}")
        return
    try:
        requests = list(warmup.read(found.path))
        found.warmup_requests = len(requests)
        if not requests:
            found.notes.append("it has no warm-up requests, so the first answers will take long")
            requests = _sample(graph)
        for name, inputs in requests:
            for output, answer in session.run(name, inputs).items():
                if np.asarray(answer).dtype.kind == "f" and not np.isfinite(answer).all():
                    found.problems.append(
                        f"{name} answers {output} with numbers that are not finite"
                    )
    except (ValueError, KeyError, tf.errors.OpError) as error:
        found.problems.append(f"it does not answer: {first_line(error)}")
    finally:
        session.close()


def _sample(graph: Any) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Two rows for `serving_default`: texts, or zeros in its shape; none for other inputs."""
    rows: dict[str, np.ndarray] = {}
    for name, info in graph.signature_def["serving_default"].inputs.items():
        sizes = [dim.size for dim in info.tensor_shape.dim][1:]
        if info.dtype == tf.string.as_datatype_enum and not sizes:
            rows[name] = np.array([b"a text", b""], object)
        elif info.dtype == tf.float32.as_datatype_enum and min(sizes, default=0) > 0:
            rows[name] = np.zeros((2, *sizes), np.float32)
        else:
            return []
    return [("serving_default", rows)]
