# ruff: noqa: E501, RUF001
"""Writes small vocabularies and the ids that the reference tokenizers give texts of every kind.

    python tests/goldens/make_goldens.py

The reference is `tokenizers` of Hugging Face; where TF Hub's preprocessors, which ours follow, read
word pieces otherwise, their tokenizer (`tensorflow_text.BertTokenizer`) is, and the reason is told.
"""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import tensorflow as tf
import tensorflow_text
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

FOLDER = Path(__file__).parent
REVIEWS = FOLDER.parents[1] / "examples" / "data" / "reviews.csv"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ENTRIES = 1200
# Why TF Hub's preprocessors read a text otherwise, by what it holds.
REASONS = {
    r"[\x01-\x08\x0b\x0c\x0e-\x1f\x7f\x85]": "a control character parts words; it is dropped there",
    r"[\ufffd\ue000]": "U+FFFD and private characters are unknown words; they are dropped there",
    r"[ßﬁﬂﬃǅ½Ⅷ²…]": "case is folded by NFKC, so that ß is ss and ﬁ is fi; only lowered there",
}

WORDS = [
    "café", "CAFÉ", "naïve", "Ångström", "Straße", "ŒUVRE", "ﬁne", "ﬂat oﬃce", "İstanbul", "ǅungla",
    "e\u0301te\u0301", "n\u0303", "Z\u0351\u036b\u0343algo", "ệ", "하늘", "\u1112\u1161\u11ab",
    "日本語", "中文句子。", "寿司がおいしい", "ภาษาไทย", "שלום עולם", "مرحبا بالعالم", "\u202babc\u202c",
    "Привет, мир", "Καλημέρα ΣΟΦΟΣ", "नमस्ते", "क्षि", "தமிழ்", "ქართული", "Հայերեն", "አማርኛ",
    "😀", "👩\u200d👩\u200d👧\u200d👦", "🇩🇪🇫🇷", "❤️", "👍🏽", "1️⃣", "good😀film", "🤷\u200d♂️ why",
    "don't", "it's", "we'd've", "I'LL", "y'all", "rock 'n' roll", "O’Neil", "‘quoted’", "“so”",
    "http://example.com/a?b=c&d=1#e", "www.example.org", "me@example.com", "@user", "#tag", "C++",
    "def f(x): return x**2", "if (a<b && c>=d) {e++;}", "<br />", "<b>bold</b>", "&amp;", "a_b_c",
    "3.14", "1,000,000", "٣٤", "१२३", "½", "Ⅷ", "x²", "10€", "$5.99", "50%", "-7", "1e-9", "2024-02-29",
    "a" * 99, "b" * 101, "supercalifragilisticexpialidocious", "Donaudampfschifffahrtsgesellschaft",
    "well-known", "mother-in-law", "em—dash", "en–dash", "…", "...", "!!!", "?!?!", "~", "`x`", "^^",
    "\\n", "\\", "/", "|", "((()))", "[CLS]x", "##ing", "[mask]", "«oui»", "„so“", "、", "。", "·",
]  # fmt: skip
SPACES = [
    "", " ", "  ", "\t", "\n", "\r\n", " \r\n\t ", "a\tb", "a\nb", "a\r\nb", "a\rb", " lead", "trail ",
    "two  spaces", "three   spaces", "\u00a0nbsp\u00a0", "\u2003em\u2003", "a\u3000b", "a\u2028b",
    "a\u2029b", "line\n\nline", "a \n b", "\n\n\n",
]  # fmt: skip
CONTROLS = [
    "a\x01b", "a\x07b", "\x1b[0m", "a\x7fb", "a\x85b", "a\u00adb", "a\u200bb", "\ufeffa", "a\ufffdb",
    "a\u200cb", "a\u200eb", "a\ue000b", "a\x0bb", "a\x0cb",
]  # fmt: skip
SENTENCES = [
    "The waiter was never rude and the soup was lovely.",
    "Great cast, but the story fell flat.",
    "The phone was not bad at all.",
    "GREAT FILM!!! 10/10, would watch again :-)",
    "I've seen better... and worse; it's (just) okay?",
    "iPhone 15 Pro's battery: 4,441 mAh",
    "Lovely soup 日本 style, café near Straße 5",
    "Visit https://example.com/menu?day=monday today",
    "CamelCaseWord snake_case_word kebab-case-word",
    "Two paragraphs.\n\nThe second one.\r\n",
]


def texts() -> list[str]:
    """About two hundred texts, each once."""
    frames = ["The {} was good", "{}, {}"]
    framed = [frames[i % 2].replace("{}", word) for i, word in enumerate(WORDS[::2])]
    return list(dict.fromkeys([*WORDS, *SPACES, *CONTROLS, *SENTENCES, *framed]))


def corpus() -> list[str]:
    """What the vocabularies are learnt from."""
    with REVIEWS.open(encoding="utf-8", newline="") as file:
        return [row["review"] for row in csv.DictReader(file)][:1500] + texts()


def word_pieces() -> Tokenizer:
    """BERT's uncased tokenizer."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=ENTRIES, special_tokens=SPECIAL, limit_alphabet=150
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    # A special token that a user writes out is text.
    vocabulary = tokenizer.get_vocab()
    plain = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    plain.normalizer, plain.pre_tokenizer = tokenizer.normalizer, tokenizer.pre_tokenizer
    return plain


def byte_pairs() -> Tokenizer:
    """GPT-2's tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def main() -> None:
    """Writes the files beside this one."""
    pieces, pairs = word_pieces(), byte_pairs()
    by_id = sorted(pieces.get_vocab(), key=pieces.get_vocab().get)
    (FOLDER / "vocab.txt").write_text("".join(f"{piece}\n" for piece in by_id), "utf-8")
    pairs.model.save(str(FOLDER))
    hub = tensorflow_text.BertTokenizer(
        str(FOLDER / "vocab.txt"), token_out_type=tf.int32, lower_case=True
    )
    found = []
    for text, ids in zip(texts(), hub.tokenize(texts()).merge_dims(1, 2).to_list(), strict=True):
        golden = {
            "text": text,
            "word_pieces": pieces.encode(text, add_special_tokens=False).ids,
            "byte_pairs": pairs.encode(text, add_special_tokens=False).ids,
        }
        reason = next((why for holds, why in REASONS.items() if re.search(holds, text)), "")
        if ids != golden["word_pieces"] and reason:
            golden |= {"reference": golden["word_pieces"], "word_pieces": ids, "differs": reason}
        found.append(golden)
    lines = ",\n".join(json.dumps(golden) for golden in found)
    (FOLDER / "goldens.json").write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    main()
