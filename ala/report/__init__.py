"""Make `reports/` from Scores: tables, claims, figures and the page. No metric is computed here."""
