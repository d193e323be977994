"""`python -m keras_seqzoo` is the `keras-seqzoo` command."""

from keras_seqzoo.cli.main import main

if __name__ == "__main__":
    main()
