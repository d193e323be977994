"""Pairs of texts: how they are given, read, split, compared and refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from keras_seqzoo.data.inputs import INPUTS
from keras_seqzoo.data.table import TextTable, read_table, stream_table

REAL = Path(__file__).parents[3] / "shared" / "data"
FIRSTS, SECONDS = ["a man", "a dog", "it rains"], ["a person", "a cat", "it pours"]
ROWS = [list(pair) for pair in zip(FIRSTS, SECONDS, strict=True)]
SAME = ["yes", "no", "yes"]


def frame() -> pd.DataFrame:
    return pd.DataFrame({"one": FIRSTS, "same": SAME, "other": SECONDS})


class TestGiven:
    @pytest.mark.parametrize(
        "texts",
        [
            (FIRSTS, SECONDS),
            (np.array(FIRSTS), pd.Series(SECONDS)),
            ROWS,
            [tuple(row) for row in ROWS],
            np.array(ROWS),
            np.array(ROWS, dtype=object),
            pd.DataFrame(ROWS),
        ],
    )
    def test_as_columns_or_rows(self, texts):
        table = TextTable.from_texts(texts, SAME)
        assert table.inputs == INPUTS["pair"]
        assert table.texts.tolist() == ROWS
        assert (table.texts.shape, table.texts.dtype) == ((3, 2), object)
        assert list(table.frame) == ["text", "text_pair", "label"]
        assert repr(table) == "TextTable('texts', 3 pairs, classes 'no': 1, 'yes': 2)"

    def test_a_tuple_of_two_strings_is_two_texts(self):
        table = TextTable.from_texts(("a man", "a dog"))
        assert table.inputs == INPUTS["text"]
        assert table.texts.tolist() == ["a man", "a dog"]

    def test_two_pairs_in_a_tuple_of_tuples_are_columns(self):
        assert TextTable.from_texts((("a", "b"), ("c", "d"))).texts.tolist() == [
            ["a", "c"],
            ["b", "d"],
        ]

    @pytest.mark.parametrize(
        ("texts", "words"),
        [
            ((FIRSTS, SECONDS[:2]), r"two texts: \(firsts, seconds\).*3 firsts, 2 seconds"),
            ([*ROWS, ["alone"]], r"Complete the pairs.*\['alone'\] in row 4"),
            ([*ROWS, "alone"], r"Complete the pairs.*'alone' in row 4"),
            ([*ROWS, ["a", None]], "both texts of a pair.*1 of 4 rows are incomplete: row 4"),
            ([["a", 1], ["b", 2]], r"hold strings.*text='text_pair'.*integer values such as 1, 2"),
            ([["a", "b", "c"]], "one string. Join lists of words"),
        ],
    )
    def test_one_side_is_missing(self, texts, words):
        with pytest.raises(ValueError, match=words):
            TextTable.from_texts(texts)


class TestRead:
    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_from_files(self, tmp_path, suffix):
        path = tmp_path / f"t.{suffix}"
        write = {
            "csv": lambda: frame().to_csv(path, index=False),
            "jsonl": lambda: frame().to_json(path, orient="records", lines=True),
            "parquet": lambda: frame().to_parquet(path),
        }
        write[suffix]()
        table = read_table(path, text=("one", "other"), label="same")
        assert (table.texts.tolist(), table.classes) == (ROWS, ("no", "yes"))
        stream = stream_table(path, text=("one", -1), label="same")
        ((texts, labels),) = stream.chunks()
        assert (texts.tolist(), labels.tolist()) == (ROWS, table.labels.tolist())
        assert stream.fingerprint() == table.fingerprint()
        assert "3 pairs, classes 'no', 'yes'" in repr(stream)
        ((whole, texts),) = stream.blocks()
        assert (list(whole), texts.tolist()) == (["one", "same", "other"], ROWS)

    def test_order_of_the_columns_counts(self):
        table = read_table(frame(), text=("other", "one"), label=None)
        assert table.texts[0].tolist() == ["a person", "a man"]

    @pytest.mark.parametrize("missing", ["one", "other"])
    def test_one_side_is_missing(self, tmp_path, missing):
        source = frame()
        source.loc[1, missing] = None
        with pytest.raises(ValueError, match=r"both texts of a pair and a label.*: row 2 "):
            read_table(source, text=("one", "other"), label="same")
        source.to_csv(tmp_path / "t.csv", index=False)
        for stream in (False, True):
            table: Any = read_table(
                tmp_path / "t.csv", ("one", "other"), "same", na="drop", stream=stream,
                classes=["no", "yes"],
            )  # fmt: skip
            assert len(table) == 2

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (("one", "one"), r"different columns.*text=\('one', 'one'\)"),
            (("one", 0), "different columns"),
            (["one", "one"], r"different columns.*text=\['one', 'one'\]"),
            ((["one", "other"], "other"), "different columns"),
            (("one", "other", "same"), r"a pair of two.*text=\['title', 'body'\]"),
            ((), "a pair of two"),
            ([], "a pair of two"),
            (("one", []), "a pair of two"),
            (["one", "same"], "Text and label must be two columns"),
            (["one", "othr"], "Did you mean 'other'.*text='othr'"),
            (("one", "same"), "Text and label must be two columns"),
            (("one", "othr"), "Did you mean 'other'.*text='othr'"),
        ],
    )
    def test_columns_that_are_no_pair(self, text, words):
        with pytest.raises(ValueError, match=words):
            read_table(frame(), text=text, label="same")

    def test_numbers_for_one_side(self, tmp_path):
        frame().assign(id=[10, 11, 12]).to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(ValueError, match=r"hold strings.*text='id' of .* only numbers"):
            read_table(tmp_path / "t.csv", text=("one", "id"), label="same")

    def test_quotes_that_hide_rows_of_the_second(self, tmp_path):
        rows = 'label\ta\tb\nx\tone\t"two\ny\tone\ttwo"\nx\tthree\tfour\ny\tfive\tsix\n'
        (tmp_path / "t.tsv").write_text(rows)
        with pytest.warns(UserWarning, match="quoting='none'") as caught:
            assert len(read_table(tmp_path / "t.tsv", ("a", "b"))) == 3
        assert caught[0].filename == __file__


class TestJoined:
    def posts(self) -> pd.DataFrame:
        titles = ["Soup", None, "Bill", None, ""]
        bodies = ["lovely", "rude", None, None, "late"]
        return pd.DataFrame({"title": titles, "body": bodies, "label": list("xyxyx")})

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_what_is_missing_is_left_out(self, tmp_path, suffix):
        path = tmp_path / f"t.{suffix}"
        self.posts().to_csv(path) if suffix == "csv" else self.posts().to_parquet(path)
        for source in (path, self.posts().set_axis([7] * 5)):
            table = read_table(source, text=["title", "body"], na="drop")
            assert table.texts.tolist() == ["Soup\nlovely", "rude", "Bill", "late"]
            assert table.row_numbers.tolist() == [1, 2, 3, 5]
            assert table.inputs == INPUTS["text"]
            with pytest.raises(ValueError, match=r"have a text.*1 of 5 rows are incomplete: row 4"):
                read_table(source, text=["title", "body"])
        stream = stream_table(path, text=["title", "body"], na="drop")
        assert stream.fingerprint() == table.fingerprint()

    def test_one_side_of_a_pair(self):
        source = frame().assign(more=["!", None, "?"])
        table = read_table(source, text=("one", ["other", "more"]), label="same")
        assert table.texts.tolist() == [
            ["a man", "a person\n!"], ["a dog", "a cat"], ["it rains", "it pours\n?"],
        ]  # fmt: skip

    def test_a_list_of_one_and_categories(self):
        source = frame().astype({"one": "category"})
        assert read_table(source, text=["one"], label="same").texts.tolist() == FIRSTS
        joined = read_table(source, text=["other", "one"], label="same").texts
        assert joined[0] == "a person\na man"

    def test_every_column_holds_strings(self):
        source = frame().assign(stars=[1, 2, 3])
        with pytest.raises(ValueError, match=r"hold strings.*text='stars'.*integer values"):
            read_table(source, text=["one", "stars"], label="same")


class TestSame:
    def test_both_texts_count_in_their_order(self):
        pairs = [("A b", "c"), (" a B", "C "), ("c", "a b"), ("a b", "d"), ("a b", "c")]
        table = TextTable.from_texts(pairs, list("xxxxy"))
        with pytest.warns(UserWarning, match="1 pairs of texts occur with different labels"):
            unique = table.drop_duplicates()
        assert unique.texts.tolist() == [["A b", "c"], ["c", "a b"], ["a b", "d"]]
        assert len(TextTable.from_texts([("ab", "c"), ("a", "bc")]).drop_duplicates()) == 2

    def test_pairs_in_two_parts(self):
        firsts = ["same"] * 40
        with pytest.warns(UserWarning, match="1 pairs of texts are in more than one part"):
            TextTable.from_texts((firsts, firsts)).split()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            parts = TextTable.from_texts((firsts, [str(i) for i in range(40)])).split()
        assert [part.texts.shape for part in parts] == [(32, 2), (4, 2), (4, 2)]
        assert all(part.inputs == INPUTS["pair"] for part in parts)

    def test_fingerprint(self):
        prints = {
            TextTable.from_texts(texts, labels).fingerprint()
            for texts in (FIRSTS, (FIRSTS, SECONDS), (SECONDS, FIRSTS))
            for labels in (None, SAME)
        }
        assert len(prints) == 6

    def test_fingerprints_of_single_texts_are_those_of_always(self):
        texts = ["good film", "bad", "so so"]
        table = TextTable.from_texts(texts, ["pos", "neg", "pos"])
        assert table.fingerprint() == "ece1a64417fefc9f"
        assert TextTable.from_texts(texts).fingerprint() == "222a5a1d56f307fd"


def test_mrpc() -> None:
    path = REAL / "mrpc" / "msr-para-train.tsv"
    if not path.exists():
        pytest.skip("real data is not here: ../shared/data/mrpc")
    options: dict[str, Any] = {
        "text": ("#1 String", "#2 String"), "label": "Quality", "quoting": "none",
    }  # fmt: skip
    table = read_table(path, **options)
    assert (table.texts.shape, table.class_counts) == ((3576, 2), {"0": 1169, "1": 2407})
    assert stream_table(path, **options).fingerprint() == table.fingerprint()
    test = read_table(path.with_name("msr-para-test.tsv"), target=table.target, **options)
    assert (len(test), test.classes) == (1725, ("0", "1"))
    with pytest.raises(ValueError, match=r"text='#1 ID' of .* only numbers"):
        read_table(path, text=("#1 ID", "#2 ID"), label="Quality", quoting="none")
