"""The three data contracts between parts of the pipeline: Classifier, Maps, Scores."""
