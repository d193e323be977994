"""Encoders: ids to vectors. One file a family; each registers its cards in the zoo."""
