"""The models that Sibyl ships with, each a seeded build script."""
