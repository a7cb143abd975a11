"""Stores of artefacts by their hash: where a model's publisher puts its files, and where nodes that join find them.

A store is a folder: local, behind http(s) (an IPFS gateway is one), or S3 with the extra `s3`. What it holds is believed by nobody: a file counts by
its SHA-256, a model by its id, and keys are made again from the model before they are used.

Modules, each importing only those above it: `folder` (any of the file systems, errors mapped once), `transfer` (one file, resumed, bounded, checked),
`manifest` (what a published model consists of), `models` (publish and fetch).
"""
