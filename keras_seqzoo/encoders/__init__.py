"""Encoders: ids to vectors. One file a family, named here; each registers its cards in `MODELS`."""

ENCODERS = {
    "recurrent": "keras_seqzoo.encoders.recurrent",
    "static": "keras_seqzoo.encoders.static",
    "transformers": "keras_seqzoo.encoders.transformers",
    "sources": "keras_seqzoo.encoders.sources",
}
