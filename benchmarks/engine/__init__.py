"""What `python -m benchmarks.perturbation` times, and how."""
