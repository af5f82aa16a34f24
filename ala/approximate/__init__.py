"""Cheaper approximations of RISE, insertion and deletion, each under a name of its own."""
