"""The repository itself: rules, packaging, documentation."""
