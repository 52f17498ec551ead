"""Where signed objects and artifacts are kept for good, by their own hash."""
