"""Comparison: trains and measures several models in the same way, and recommends one."""
