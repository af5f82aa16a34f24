"""The three contracts that carry everything: Classifier, Maps, Scores."""
