"""Zero-knowledge circuits of Sibyl's models: ONNX → tuned ezkl circuit → keys → prove → verify, and the catalogue of models.

Guarantees: every ezkl and onnxruntime call runs in a child process with a deadline; a model's directory is checked against its manifest and its
model id before use; a proof is verified by its own prover before it leaves. Does not do: choose models, sign, talk to chains or to other nodes.
"""
