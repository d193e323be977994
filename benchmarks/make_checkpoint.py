"""Writes a checkpoint of public size with random weights, in transformers' layout.

For speed the weights do not matter, and the public ones need a download. Needs torch and
transformers; the vocabulary files are those of the public models.

    python benchmarks/make_checkpoint.py distilbert FOLDER vocab.txt
    python benchmarks/make_checkpoint.py gpt2 FOLDER vocab.json merges.txt
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
import transformers


def main(kind: str, folder: Path, *files: str) -> None:
    """Writes the folder."""
    torch.manual_seed(0)
    if kind == "gpt2":
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config())
        names = ("vocab.json", "merges.txt")
    else:
        model = transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig())
        names = ("vocab.txt",)
    model.save_pretrained(folder)
    for file, name in zip(files, names, strict=True):
        shutil.copy(file, folder / name)
    if kind != "gpt2":
        (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}\n')


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
