"""The pages of the documentation, their code, and the files that it reads."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in DOCS.rglob("*.md"))]
NOT_RUN, SLOW = "not run", "slow"


@dataclass(frozen=True)
class Block:
    """A block of Python, and the comment before it: nothing, `slow`, or why it is not run."""

    code: str
    note: str
    line: int

    @property
    def is_run(self) -> bool:
        return not self.note.startswith(NOT_RUN)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def python_blocks(page: str) -> list[Block]:
    """The Python blocks of a page."""
    text = read(page)
    pattern = r"(?:<!-- (?P<note>[^>]+) -->\n)?^```python\n(?P<code>.*?)^```"
    return [
        Block(m["code"], m["note"] or "", text.count("\n", 0, m.start("code")))
        for m in re.finditer(pattern, text, re.DOTALL | re.MULTILINE)
    ]


def commands(page: str) -> list[tuple[str, list[str]]]:
    """The commands of shell blocks and of inline code: the subcommand, and its options."""
    text = read(page)
    blocks = re.findall(r"```(?:sh|bash|shell|console)\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"(?<!`)`(keras-seqzoo [^`]+)`(?!`)", text)
    lines = "\n".join([*blocks, *inline]).replace("\\\n", " ").splitlines()
    parts = [part for line in lines for part in re.split(r"[|;]|&&", line.split(" # ")[0])]
    found = [re.match(r"\s*(?:\S*/)?keras-seqzoo ([a-z-]+)(.*)", part) for part in parts]
    return [
        (m[1], re.findall(r"(?<=\s)--?[a-z][a-z-]*", m[2].split(" -- ")[0])) for m in found if m
    ]


def table_lines(page: str) -> list[str]:
    """The code in the last column of a table whose rows are numbered."""
    return re.findall(r"^\| \d+ \|[^|]*\| `(.+)` \|$", read(page), re.MULTILINE)


def links(page: str) -> Iterator[tuple[str, str]]:
    """The relative links of a page: path and anchor."""
    prose = re.sub(r"```.*?```", "", read(page), flags=re.DOTALL)
    yield from re.findall(r"\]\((?!\w+:|/)([^)#\s]*)(#[^)\s]*)?\)", prose)


def write_files(folder: Path) -> None:
    """Writes small files with the names that the pages use."""
    import modules
    import numpy as np
    import pandas as pd

    reviews = pd.read_csv(ROOT / "examples" / "data" / "reviews.csv").head(100)
    reviews.to_csv(folder / "reviews.csv", index=False)
    reviews.head(60).to_csv(folder / "train.csv", index=False)
    reviews.tail(30).to_csv(folder / "test.csv", index=False)
    reviews[["review"]].head(20).to_csv(folder / "new.csv", index=False)
    texts = list(reviews["review"])

    pairs = pd.DataFrame({"sentence1": texts[:40], "sentence2": texts[40:80]})
    pairs.assign(same=["yes", "no"] * 20).to_csv(folder / "pairs.tsv", sep="\t", index=False)
    comments = pd.DataFrame({"text": texts[:40]})
    comments.assign(toxic=[0, 1] * 20, insult=[0, 0, 1, 1] * 10).to_csv(
        folder / "comments.csv", index=False
    )
    comments.assign(stars=np.arange(40) / 8).to_csv(folder / "ratings.csv", index=False)

    days = pd.date_range("1981-01-01", periods=240).delete(100)
    temperatures = 10 + 5 * np.sin(np.arange(239) / 20)
    pd.DataFrame({"Date": days, "Temp": temperatures.round(2)}).to_csv(
        folder / "daily-min-temperatures.csv", index=False
    )

    tagged = "Ann B-person\nlives O\nin O\nNew B-location\nYork I-location\n. O\n\n"
    for name, times in (("train", 16), ("dev", 8)):
        (folder / f"{name}.conll").write_text(tagged * times)
        _write_questions(folder / f"{name}-v2.0.json", times)

    words = sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())})
    vectors = np.random.default_rng(0).normal(size=(len(words), 50)).round(3)
    (folder / "glove.6B.50d.txt").write_text(
        "".join(f"{w} {' '.join(map(str, v))}\n" for w, v in zip(words, vectors, strict=True))
    )
    for name in ("book", "corpus", "other"):
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n")

    (folder / "path" / "to").mkdir(parents=True)
    modules.write_bert(folder / "path" / "to" / "encoder", modules.write_vocabulary(folder))
    shutil.copytree(ROOT / "tests" / "parity" / "gpt2_tiny", folder / "path" / "to" / "gpt2")


def _write_questions(path: Path, times: int) -> None:
    """Writes questions about contexts as SQuAD 2.0 has them."""
    context = "Ann lives in New York with a dog."

    def question(number: int) -> dict[str, Any]:
        answers = [{"text": "New York", "answer_start": 13}] if number % 2 else []
        return {
            "id": str(number), "question": "Where does Ann live?", "answers": answers,
            "is_impossible": not answers,
        }  # fmt: skip

    paragraph = {"context": context, "qas": [question(i) for i in range(times)]}
    content = {"version": "v2.0", "data": [{"title": "Ann", "paragraphs": [paragraph]}]}
    path.write_text(json.dumps(content))
