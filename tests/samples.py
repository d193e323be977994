"""Texts that tests share."""

POSITIVE = [
    "a good film", "great fun", "I loved it", "a lovely story", "good, great, lovely!",
    "the cast was great", "such a good book", "loved the cast",
]  # fmt: skip
NEGATIVE = [
    "a bad film", "awful and dull", "I hated it", "a dull story", "bad, awful, dull!",
    "the cast was awful", "such a bad book", "hated the cast",
]  # fmt: skip
