"""Images, masks and labels: readers, splits, image caches, and the drawn miniature."""
