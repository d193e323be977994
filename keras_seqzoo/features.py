"""The names of the features that preprocessors make for encoders: int32 `(batch, length)` each."""

FEATURES = ("token_ids", "padding_mask", "segment_ids")
