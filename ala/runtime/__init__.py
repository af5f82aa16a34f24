"""What every part stands on: errors, seeds, devices, atomic files, digests, progress."""
