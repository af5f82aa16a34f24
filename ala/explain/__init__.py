"""Explainers: each writes Maps. One file per method."""
