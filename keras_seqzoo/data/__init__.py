"""Data: labelled texts as tables, and the tf.data pipeline that every model reads."""
