"""Training: the Keras callbacks and seeds, thinly arranged for the command line."""
