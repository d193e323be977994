"""Encoders: ids to vectors. Each family has a module here, which registers cards in `MODELS`."""

ENCODERS = {
    "recurrent": "keras_seqzoo.encoders.recurrent",
    "static": "keras_seqzoo.encoders.static",
    "transformers": "keras_seqzoo.encoders.transformers",
    "sources": "keras_seqzoo.encoders.sources",
}
