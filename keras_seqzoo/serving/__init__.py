"""Serving: versioned SavedModels that take text, and what reads them back."""
