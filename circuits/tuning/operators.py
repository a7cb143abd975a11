"""Which ONNX operators ezkl 23.0.5 turns into circuits, as tried one by one, and what to write instead of the others."""

UNSUPPORTED = {
    "Gelu": "write it as 0.5 x (1 + Erf(x / √2)), or train with Relu, which is far cheaper",
    "Mish": "train with Relu or HardSwish",
    "Max": "write max(a, b) as b + Relu(a - b)",
    "Mod": "compute the remainder before the model",
    "IsNaN": "a circuit knows finite numbers only; fill gaps before the model",
    "IsInf": "a circuit knows finite numbers only; fill gaps before the model",
    "NonZero": "its output's shape depends on the data; use a mask and a product instead",
    "Unique": "its output's shape depends on the data; compute it before the model",
    "Compress": "its output's shape depends on the data; use a mask and a product instead",
    "NonMaxSuppression": "its output's shape depends on the data; leave it to the consumer",
    "Tile": "use Expand, or Concat of the tensor with itself",
    "ScatterElements": "use Where with a constant mask, or Concat of slices",
    "ScatterND": "use Where with a constant mask, or Concat of slices",
    "LRN": "train with batch normalisation, which is folded into the layers",
    "LpNormalization": "divide by the square root of ReduceSumSquare",
    "MeanVarianceNormalization": "use BatchNormalization or LayerNormalization",
    "Loop": "a circuit has a fixed size; unroll the loop",
    "If": "a circuit has no branches; compute both sides and choose with Where",
    "RandomNormal": "a proof needs one answer; pass random numbers in as inputs",
    "RandomUniform": "a proof needs one answer; pass random numbers in as inputs",
    "RandomNormalLike": "a proof needs one answer; pass random numbers in as inputs",
    "RandomUniformLike": "a proof needs one answer; pass random numbers in as inputs",
    "Multinomial": "a proof needs one answer; prove the probabilities and draw outside",
    "Bernoulli": "a proof needs one answer; prove the probability and draw outside",
    "ai.onnx.ml.Scaler": "subtract and multiply by constants, (x - offset) · scale",
    "ai.onnx.ml.Normalizer": "divide by the square root of ReduceSumSquare",
    "ai.onnx.ml.Binarizer": "use Greater and Cast",
    "ai.onnx.ml.Imputer": "fill gaps before the model; a circuit knows finite numbers only",
    "ai.onnx.ml.LinearRegressor": "use Gemm with its coefficients",
    "ai.onnx.ml.LinearClassifier": "use Gemm with its coefficients, and prove the logit",
    "ai.onnx.ml.TreeEnsembleClassifier": "express the trees as plain tensors (comparisons and products)",
    "ai.onnx.ml.TreeEnsembleRegressor": "express the trees as plain tensors (comparisons and products)",
    "ai.onnx.ml.TreeEnsemble": "express the trees as plain tensors (comparisons and products)",
    "ai.onnx.ml.SVMClassifier": "use MatMul with the support vectors; a linear kernel is one Gemm",
    "ai.onnx.ml.SVMRegressor": "use MatMul with the support vectors; a linear kernel is one Gemm",
    "ai.onnx.ml.ZipMap": "export without it (skl2onnx: options={'zipmap': False})",
    "ai.onnx.ml.LabelEncoder": "prove the scores and let the consumer name the class",
    "ai.onnx.ml.OneHotEncoder": "encode before the model",
    "ai.onnx.ml.CategoryMapper": "encode before the model",
    "ai.onnx.ml.DictVectorizer": "encode before the model",
    "ai.onnx.ml.FeatureVectorizer": "use Concat",
}
"""Operator (with its domain, where it is not the standard one) → what to do instead."""

_CURVES = ("Sigmoid", "Tanh", "Exp", "Log", "Erf", "Softplus", "Elu", "Selu", "Celu", "HardSwish")
_ANGLES = ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh")
_COMPOUND = ("Softmax", "LogSoftmax", "ReduceLogSumExp", "LSTM", "GRU", "RNN")
LOOKUP_OPERATORS = frozenset((*_CURVES, *_ANGLES, *_COMPOUND))
"""Operators that ezkl makes with lookup tables."""

_STRINGS = ("StringNormalizer", "StringConcat", "StringSplit", "RegexFullMatch", "TfIdfVectorizer")


def problem_of(name: str) -> str:
    """A sentence for an operator that cannot be proven; empty for one that can, or that is not known here."""
    if name in _STRINGS:
        return f"The operator {name} works on text; encode it into numbers before the model."
    if name in UNSUPPORTED:
        return f"The operator {name} cannot be proven: {UNSUPPORTED[name]}."
    domain = name.rpartition(".")[0]
    if domain and domain != "ai.onnx":
        return f"The operator {name} belongs to no standard ONNX domain; export the model with standard operators."
    return ""
