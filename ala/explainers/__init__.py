"""Explainers, one file per method: each makes Maps."""
