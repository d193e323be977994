"""The bundled synthetic data: reproducible; reviews that are hard for a bag of words."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

DATA = Path(__file__).parents[1] / "examples" / "data"
SCRIPT = DATA / "make_reviews.py"
BUNDLED = DATA / "reviews.csv"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_reviews", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bundled() -> pd.DataFrame:
    return pd.read_csv(BUNDLED)


def test_script_without_arguments_rewrites_bundled_file(tmp_path: Path) -> None:
    # A copy, so that a failing script cannot damage the checkout.
    copy = shutil.copy(SCRIPT, tmp_path)
    done = subprocess.run([sys.executable, copy], check=True, capture_output=True, text=True)
    assert "synthetic" in done.stdout
    assert (tmp_path / BUNDLED.name).read_bytes() == BUNDLED.read_bytes()


def test_arguments_choose_rows_seed_and_place(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "few.csv"
    script.main(["--rows", "30", "--seed", "5", "--out", str(out)])
    pd.testing.assert_frame_equal(pd.read_csv(out), script.make_reviews(rows=30, seed=5))


def test_seed_decides_the_reviews(script: ModuleType) -> None:
    first = script.make_reviews(rows=200, seed=0)
    assert first.equals(script.make_reviews(rows=200, seed=0))
    assert not first.equals(script.make_reviews(rows=200, seed=1))


def test_bundled_shape(bundled: pd.DataFrame) -> None:
    raw = BUNDLED.read_bytes()
    assert raw.startswith(b"review,sentiment\n")
    assert b"\r" not in raw
    assert "café" in raw.decode("utf-8")
    assert bundled.shape == (5000, 2)
    assert not bundled["review"].duplicated().any()
    assert set(bundled["sentiment"]) == {"negative", "positive"}
    assert (bundled["sentiment"] == "positive").mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "pattern",
    [
        r"\b(?:not|never|hardly|barely|didn't)\b",  # negation
        r"\b(?:but|yet|however|although|even though)\b",  # contrast
        r"\b(?:good|superb|enjoyed)\b",  # praise: negated or outweighed in the negative class
        r"\b(?:bad|boring|awful|loathed)\b",  # blame: likewise in the positive class
    ],
)
def test_key_words_occur_in_both_classes(bundled: pd.DataFrame, pattern: str) -> None:
    hits = bundled[bundled["review"].str.contains(pattern, flags=re.IGNORECASE)]
    assert len(hits) > 100
    assert 0.15 < (hits["sentiment"] == "positive").mean() < 0.85


def test_main_clause_decides(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    # Contrasts alone: what follows "but" or precedes "although" must tell the label.
    for share, value in {"CONTRAST_SHARE": 1, "NEGATED_SHARE": 0, "NOISY_SHARE": 0}.items():
        monkeypatch.setattr(script, share, value)
    reviews = script.make_reviews(rows=1000, seed=3)
    praise = set(script.ADJECTIVES[True])
    blame = set(script.ADJECTIVES[False])
    for split, side in ((", but ", 1), (", yet ", 1), (", although ", 0)):
        parts = reviews["review"].str.split(split)
        main = parts[parts.str.len() == 2].str[side].str.findall(r"\w+")
        for words, sentiment in ((praise, "positive"), (blame, "negative")):
            hits = main[[not words.isdisjoint(found) for found in main]].index
            assert len(hits) > 10
            assert set(reviews.loc[hits, "sentiment"]) == {sentiment}


def test_bag_of_words_is_not_enough(bundled: pd.DataFrame) -> None:
    pytest.importorskip("sklearn", reason="the baseline needs scikit-learn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline

    x_train, x_test, y_train, y_test = train_test_split(
        bundled["review"],
        bundled["sentiment"],
        test_size=0.2,
        stratify=bundled["sentiment"],
        random_state=0,
    )
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    accuracy = model.fit(x_train, y_train).score(x_test, y_test)
    assert 0.65 < accuracy < 0.87  # some signal, but much of it lies in the order of words


@pytest.mark.parametrize("name", ["notices.jsonl", "prices.csv"])
def test_scripts_without_arguments_rewrite_bundled_files(name: str, tmp_path: Path) -> None:
    script = f"make_{Path(name).stem}.py"
    subprocess.run([sys.executable, shutil.copy(DATA / script, tmp_path)], check=True)
    assert (tmp_path / name).read_bytes() == (DATA / name).read_bytes()


def test_spans_of_the_notices_are_names_and_no_text_occurs_twice() -> None:
    notices = pd.read_json(DATA / "notices.jsonl", lines=True)
    assert not notices["text"].str.lower().duplicated().any()
    for text, spans in zip(notices["text"], notices["spans"], strict=True):
        ends = [0, *(end for _, end, _ in spans)]
        for before, (start, end, kind) in zip(ends, spans, strict=False):
            assert before <= start < end <= len(text)
            assert kind in {"person", "place", "organisation", "date"}
            assert text[start:end] == text[start:end].strip(" .,")
