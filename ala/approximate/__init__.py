"""Cheaper relatives of RISE, insertion and deletion. None of them bears the name of what it approximates."""
