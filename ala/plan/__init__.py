"""Estimate the cost of a run beforehand: counts by arithmetic, FLOPs by counting, seconds by a short calibration."""
