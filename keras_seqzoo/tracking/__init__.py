"""Models in MLflow: `log` logs one, and `served` is the code that travels with it."""
