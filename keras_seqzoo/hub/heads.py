"""Reads heads of masked language models from transformers checkpoints; KerasHub skips them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import safe_open

# Names in BERT, DistilBERT, RoBERTa and ELECTRA's generator: a dense layer, a norm, the bias.
_NAMES = (
    ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm",
     "cls.predictions.bias"),
    ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
    ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    ("generator_predictions.dense", "generator_predictions.LayerNorm", "generator_lm_head.bias"),
)  # fmt: skip


def masked_head(folder: str | Path) -> dict[str, np.ndarray] | None:
    """Reads the head that scores tokens from a folder in transformers' layout.

    Args:
        folder: a folder with `model.safetensors`; other files are not read.

    Returns:
        Arrays by the names of weights in KerasHub's `MaskedLMHead`; None if the checkpoint has no
        such head.
    """
    path = Path(folder) / "model.safetensors"
    if not path.is_file():
        return None
    with safe_open(path, "np") as file:
        known = {*file.keys()}
        for dense, norm, bias in _NAMES:
            # Old checkpoints name the weights of norms as TensorFlow does.
            gamma, beta = (
                next((f"{norm}.{n}" for n in names if f"{norm}.{n}" in known), "")
                for names in (("weight", "gamma"), ("bias", "beta"))
            )
            if {f"{dense}.weight", f"{dense}.bias", gamma, beta, bias} <= known:
                return {
                    "intermediate_dense/kernel": file.get_tensor(f"{dense}.weight").T,
                    "intermediate_dense/bias": file.get_tensor(f"{dense}.bias"),
                    "intermediate_layer_norm/gamma": file.get_tensor(gamma),
                    "intermediate_layer_norm/beta": file.get_tensor(beta),
                    "output_bias": file.get_tensor(bias),
                }
    return None
