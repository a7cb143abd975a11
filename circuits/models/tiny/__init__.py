"""A two-feature model for tests and first steps."""
