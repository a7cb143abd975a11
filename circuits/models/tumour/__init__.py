"""A tumour classifier for the Wisconsin diagnostic data."""
