"""Serving: versioned SavedModels that take text, and ways to load and ask them."""
