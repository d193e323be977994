"""A local server with TensorFlow Serving's REST interface, for development and tests.

A request passes through `app` (HTTP, limits), `paths` (what is asked of which model), `store` (the
version that answers), `answers` (which signature, which check) and `rest` or `examples` (JSON to
arrays and back).
"""
