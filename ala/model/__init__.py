"""The adapter beside the frozen encoder: side branch, attention branch, perception branch (METHODS 2)."""
