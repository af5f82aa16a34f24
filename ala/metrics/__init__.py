"""What maps are worth: IoU with the mask, insertion and deletion on the model, one row of scores per photo."""
