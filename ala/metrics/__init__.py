"""Metrics of saliency maps: IoU with the mask, insertion and deletion on the model, one row of scores per image."""
