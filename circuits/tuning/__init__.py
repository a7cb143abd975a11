"""From any ONNX file and a sample of its inputs to the cheapest honest circuit: look, rewrite, search, publish."""
