"""What a run will cost, before it is begun: counts by arithmetic, FLOPs by counting, seconds by a short calibration."""
