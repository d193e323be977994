"""The names of what encoders read: int32 `(batch, length)` each, as preprocessors make them."""

FEATURES = ("token_ids", "padding_mask", "segment_ids")
