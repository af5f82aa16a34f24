"""From Scores to `reports/`: tables, claims, figures and the page. Nothing here computes a metric of its own."""
