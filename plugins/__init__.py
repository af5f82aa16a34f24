"""Explainers and metrics of the user's own; see README.md."""
