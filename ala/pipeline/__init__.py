"""What the stages do, as functions of settings and paths: train, explain, score. A notebook can call them, too."""
