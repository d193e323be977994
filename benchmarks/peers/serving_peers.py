"""The peers of `serving.py`, which starts them; runs in the environment of `make_env.sh`."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, BertForSequenceClassification, pipeline
from turns import work

THREADS = len(os.sched_getaffinity(0))
NAMES = ("input_ids", "attention_mask", "token_type_ids")
Answer = Callable[[list[str]], Any]


def classifier(checkpoint: str, head: str) -> Any:
    """The checkpoint's encoder under the given head."""
    arrays = np.load(head)
    model = BertForSequenceClassification.from_pretrained(checkpoint, num_labels=2).eval()
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(arrays["kernel"].T))
        model.classifier.bias.copy_(torch.from_numpy(arrays["bias"]))
    return model


def exported(model: Any, folder: Path) -> Path:
    """The classifier as an ONNX file, of any batch and length."""

    class Probabilities(torch.nn.Module):
        """Probabilities of the classes, in place of transformers' output object."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            """Of int64 `(batch, length)`."""
            scores = self.model(input_ids=ids, attention_mask=mask, token_type_ids=types).logits
            return torch.softmax(scores, dim=-1)

    path = folder / "model.onnx"
    example = tuple(torch.ones((2, 9), dtype=torch.int64) for _ in NAMES)
    torch.onnx.export(
        Probabilities(), example, str(path), input_names=list(NAMES), output_names=["answer"],
        dynamic_axes={name: {0: "batch", 1: "length"} for name in NAMES}, opset_version=17,
        dynamo=False,
    )  # fmt: skip
    return path


def inputs(tokenizer: Tokenizer, texts: list[str]) -> dict[str, np.ndarray]:
    """What Hugging Face's tokenizer in Rust makes of texts, padded to the longest."""
    rows = tokenizer.encode_batch(texts)
    columns = ([r.ids for r in rows], [r.attention_mask for r in rows], [r.type_ids for r in rows])
    return {n: np.array(c, np.int64) for n, c in zip(NAMES, columns, strict=True)}


def onnxruntime(model: Any, tokenizer: Tokenizer, folder: Path, how: str) -> Answer:
    """ONNX Runtime with the graph as it was exported, or after its optimizer for transformers.

    Of "int8" its dynamic quantization has been over that, too.
    """
    import onnxruntime as ort

    path = exported(model, folder)
    if how:
        from onnxruntime.transformers import optimizer

        config = model.config
        made = optimizer.optimize_model(
            str(path), model_type="bert", num_heads=config.num_attention_heads,
            hidden_size=config.hidden_size, opt_level=1,
        )  # fmt: skip
        path = folder / "fused.onnx"
        made.save_model_to_file(str(path))
        print(made.get_fused_operator_statistics(), file=sys.stderr)
    if how == "int8":
        from onnx import TensorProto
        from onnxruntime.quantization import quantize_dynamic

        types = {"DefaultTensorType": TensorProto.FLOAT}  # of what its own operations give
        quantize_dynamic(path, folder / "int8.onnx", extra_options=types)
        path = folder / "int8.onnx"
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda texts: session.run(None, inputs(tokenizer, texts))[0]


def openvino(model: Any, tokenizer: Tokenizer, folder: Path, *, hint: str) -> Answer:
    """OpenVINO, at its hint for latency, which is also its best for one stream of batches."""
    import openvino as ov

    core = ov.Core()
    settings = {
        "PERFORMANCE_HINT": hint, "INFERENCE_NUM_THREADS": THREADS,
        "INFERENCE_PRECISION_HINT": "f32",
    }  # fmt: skip
    compiled = core.compile_model(str(exported(model, folder)), "CPU", settings)
    request = compiled.create_infer_request()
    return lambda texts: request.infer(inputs(tokenizer, texts))[compiled.output(0)]


def transformers(model: Any, checkpoint: str) -> Answer:
    """`pipeline("text-classification")`, as its documentation has it."""
    pipe = pipeline(
        "text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(checkpoint),
        device="cpu",
    )  # fmt: skip

    def answer(texts: list[str]) -> list[list[float]]:
        rows = pipe(texts, batch_size=len(texts), top_k=None, truncation=True)
        scores = [{one["label"]: one["score"] for one in row} for row in rows]
        return [[row["LABEL_0"], row["LABEL_1"]] for row in scores]

    return answer


def make(kind: str, checkpoint: str, head: str, folder: Path) -> Answer:
    """One of the peers, ready to answer."""
    model = classifier(checkpoint, head)
    tokenizer = Tokenizer.from_file(str(Path(checkpoint) / "tokenizer.json"))
    tokenizer.enable_truncation(model.config.max_position_embeddings)
    tokenizer.enable_padding()
    if kind == "transformers":
        return transformers(model, checkpoint)
    if kind == "OpenVINO":
        return openvino(model, tokenizer, folder, hint="LATENCY")
    return onnxruntime(model, tokenizer, folder, kind.partition(", ")[2])


def main(kind: str, checkpoint: str) -> None:
    """Loads and answers as it is told."""
    torch.set_num_threads(THREADS)
    folder = tempfile.TemporaryDirectory()
    answer: Answer

    def do(order: dict[str, Any]) -> Any:
        nonlocal answer
        begun = time.perf_counter()
        if order["do"] == "load":
            answer = make(kind, checkpoint, order["head"], Path(folder.name))
            return {"seconds": time.perf_counter() - begun}
        times, answers = [], []
        for start in range(0, len(order["texts"]), order["batch"]):
            begun = time.perf_counter()
            found = answer(order["texts"][start : start + order["batch"]])
            times.append(time.perf_counter() - begun)
            answers += np.asarray(found).tolist()
        return {"times": times, "answers": answers}

    work(do)


if __name__ == "__main__":
    main(*sys.argv[1:])
