"""The `keras-seqzoo` command: the library's functions with progress and readable output."""
