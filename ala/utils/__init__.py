"""Shared utilities: errors, seeds, devices, atomic files, digests, progress."""
