"""Structured reference strings (SRS) of KZG over BN254: ceremony files, local ones, and how to tell them apart.

Whoever knows an SRS's secret τ can prove anything under it. A *ceremony* made the secret out of many parties' randomness, and it is safe when one of
them was honest; a *local* SRS was made by one process on one machine, and is for devnets only. A verifying key, and so a model's id, depends on the
SRS: the same ONNX file and settings have another id under another one, and proofs hold under their own SRS alone.

Modules, each importing only those above it: `published` (hashes), `format` (the file's bytes), `group` (sums of points), `check` (is it an SRS at
all), `shorten` (a smaller k from a larger file), `acquire` (fetch, generate), `devnets` (which chains a local SRS is for).
"""
