"""Rewrites of ai.onnx.ml's operators (exports of scikit-learn, XGBoost and LightGBM) to plain tensors that a circuit takes."""
