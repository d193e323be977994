"""Text encodings: detected, given, damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import warnings
from pathlib import Path

import pandas as pd
import pytest

from keras_seqzoo.data.encoding import choose_encoding
from keras_seqzoo.data.reading import text_lines
from keras_seqzoo.data.table import read_table

REVIEWS = 'text,label\ngood film,pos\n"bad, slow\nand long",neg\nfine,pos\n'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def frame(texts: list, labels: list) -> pd.DataFrame:
    return pd.DataFrame({"text": pd.Series(texts, dtype=object), "label": labels})


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write(tmp_path / "reviews.csv", REVIEWS)


class TestEncodings:
    @pytest.mark.parametrize(
        ("codec", "detected"),
        [
            ("utf-8", "utf-8"),
            ("utf-8-sig", "utf-8-sig"),
            ("utf-16", "utf-16"),
            ("utf-32", "utf-32"),
        ],
    )
    @pytest.mark.parametrize("suffix", ["csv", "jsonl"])
    def test_unicode(self, tmp_path, codec, detected, suffix):
        content = {
            "csv": "text,label\nnaïve €,a\nb,b\n",
            "jsonl": '{"text":"naïve €","label":"a"}\n{"text":"b","label":"b"}\n',
        }
        path = write(tmp_path / f"t.{suffix}", content[suffix].encode(codec))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = read_table(path)
        assert (table.encoding, table.texts[0]) == (detected, "naïve €")

    @pytest.mark.parametrize(
        ("text", "codec", "detected"),
        [
            ("“naïve” 5 €", "cp1252", "cp1252"),
            ("naïve", "cp1252", "latin-1"),
            ("\x81\x93é", "latin-1", "latin-1"),
        ],
    )
    def test_single_byte(self, tmp_path, text, codec, detected):
        path = write(tmp_path / "t.csv", f"text,label\nx,a\n{text},b\n".encode(codec))
        with pytest.warns(UserWarning, match=f"line 3.*read as {detected}.*encoding=") as caught:
            table = read_table(path)
        assert (table.encoding, table.texts[1]) == (detected, text)
        assert caught[0].filename == __file__

    def test_whole_file_is_looked_at(self, tmp_path):
        lines = b"text,label\n" + b"plain words,a\n" * 200_000 + b"caf\xe9,b\n"
        with pytest.warns(UserWarning, match=r"byte 0xe9 at offset 2800014, line 200002"):
            table = read_table(write(tmp_path / "t.csv", lines))
        assert table.texts[-1] == "café"

    def test_character_across_blocks(self, tmp_path):
        start = b"text,label\n"
        filler = b"x" * ((1 << 20) - len(start) - 1)
        path = write(tmp_path / "t.csv", start + filler + "é,a\nb,b\n".encode())
        assert read_table(path).encoding == "utf-8"
        cut = write(tmp_path / "cut.csv", b"text,label\na,a\nb,\xc3")
        with pytest.warns(UserWarning, match="byte 0xc3 at offset 17, line 3"):
            read_table(cut)

    def test_given_encoding(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\nЮля,a\nb,b\n".encode("koi8-r"))
        table = read_table(path, encoding="koi8-r")
        assert (table.texts[0], table.encoding) == ("Юля", "koi8-r")

    def test_given_encoding_does_not_decode(self, tmp_path):
        path = write(tmp_path / "t.csv", b"text,label\ncaf\xe9,a\nb,b\n")
        with pytest.raises(ValueError, match=r"encoding='utf-8' .*byte 0xe9 at offset 14, line 2"):
            read_table(path, encoding="utf-8")
        table = read_table(path, encoding="utf-8", encoding_errors="replace")
        assert table.texts[0] == "caf\ufffd"
        path = write(tmp_path / "t.csv", b"\xef\xbb\xbftext,label\ncaf\xe9,a\nb,b\n")
        with pytest.raises(ValueError, match="encoding='utf-8-sig'"):
            read_table(path)

    def test_unknown_encoding(self, reviews):
        with pytest.raises(ValueError, match=r"codec that Python knows.*'utf-9'"):
            read_table(reviews, encoding="utf-9")

    def test_nul(self, tmp_path):
        path = write(tmp_path / "t.csv", b"text,label\na,x\nb\0c,y\n")
        with pytest.raises(ValueError, match=r"utf-16.*NUL in line 3"):
            read_table(path)
        path = write(tmp_path / "latin.csv", b"text,label\ncaf\xe9,x\nb\0c,y\n")
        with pytest.raises(ValueError, match="NUL in line 3"):
            read_table(path)
        assert read_table(frame(["a\0b", "c"], [0, 1])).texts[0] == "a\0b"

    def test_utf16_without_mark(self, tmp_path):
        path = write(tmp_path / "t.csv", "text,label\na,x\nb,y\n".encode("utf-16-le"))
        with pytest.raises(ValueError, match="pass encoding='utf-16'"):
            read_table(path)
        assert len(read_table(path, encoding="utf-16-le")) == 2

    @pytest.mark.parametrize(("suffix", "module"), [("gz", gzip), ("bz2", bz2), ("xz", lzma)])
    def test_cut_off_compressed_file(self, tmp_path, suffix, module):
        content = "".join(f"text {i},{i % 2}\n" for i in range(1000))
        whole = module.compress(content.encode())
        path = write(tmp_path / f"t.csv.{suffix}", whole[: len(whole) // 2])
        with pytest.raises(ValueError, match="compressed file must be complete"):
            read_table(path, names=["text", "label"])

    @pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
    def test_not_compressed_at_all(self, tmp_path, suffix):
        path = write(tmp_path / f"t.csv.{suffix}", REVIEWS)
        with pytest.raises(ValueError, match="compressed file must be complete"):
            read_table(path)

    def test_file_removed_meanwhile(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            choose_encoding(tmp_path / "t.csv.bz2", None, {})

    def test_zip_that_is_not_utf8(self, tmp_path):
        path = tmp_path / "t.csv.zip"
        pd.DataFrame({"text": ["é", "b"], "label": [0, 1]}).to_csv(path, encoding="latin-1")
        with pytest.warns(UserWarning, match="read as latin-1"):
            assert read_table(path).texts[0] == "é"


class TestLines:
    @pytest.mark.parametrize(
        ("codec", "given"),
        [
            ("utf-8", None),
            ("utf-8-sig", None),
            ("utf-16", None),
            ("utf-32", None),
            ("utf-16-le", "utf-16-le"),
            ("cp1252", "cp1252"),
        ],
    )
    def test_codecs(self, codec, given):
        content = "naïve €\r\n\nऊ last" if "1252" not in codec else "naïve €\r\n\nx last"
        lines = list(text_lines(io.BytesIO(content.encode(codec)), "t.txt", given))
        assert lines == content.replace("\r", "").split("\n")

    def test_a_line_end_at_the_end_adds_no_line(self):
        assert list(text_lines(io.BytesIO(b"a\nb\n"), "t")) == ["a", "b"]
        assert list(text_lines(io.BytesIO("a\nb\n".encode("utf-16")), "t")) == ["a", "b"]
        assert list(text_lines(io.BytesIO(b""), "t")) == []

    def test_each_line_comes_before_the_next_is_read(self):
        file = io.BytesIO(b"a\nb\xff\n")
        lines = text_lines(file, "t")
        assert next(lines) == "a"
        with pytest.raises(ValueError, match=r"encoding=.*as utf-8, byte 0xff in line 2"):
            next(lines)

    def test_not_decoded(self):
        with pytest.raises(ValueError, match=r"'utf-16-le'.*'t' read as utf-8, NUL in line 1"):
            list(text_lines(io.BytesIO("a\n".encode("utf-16-le")), "t"))
        with pytest.raises(ValueError, match=r"Python knows.*'utf-9'"):
            list(text_lines(io.BytesIO(b"a"), "t", "utf-9"))
