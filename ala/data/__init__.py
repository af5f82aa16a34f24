"""Photos, masks and labels: readers, splits, stores, and the drawn miniature."""
