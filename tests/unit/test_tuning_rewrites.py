"""Rewrites keep what a model computes, say what a consumer applies, and are thrown away when they do not hold."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from circuits.errors import ModelError
from circuits.tuning.floats import FloatModel
from circuits.tuning.folding import batch_of_one, explicit_strides, fold_batch_norms, fold_constants, narrow_floats
from circuits.tuning.last_function import last_function
from circuits.tuning.rewrite import Function, OffCircuit, Rewritten, difference, rewrite_all
from tests.support.tuning_models import draw, graph_of, mlp

ROWS = draw(3).normal(size=(6, 4))


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def test_last_function__sigmoid__taken_off_and_exact() -> None:
    model = mlp([4, 3, 1], last="Sigmoid")
    made = last_function(model)
    assert made is not None
    assert made.off_circuit == OffCircuit(Function.SIGMOID)
    assert operators(made.model) == ["Gemm", "Relu", "Gemm"]
    assert difference(model, made, ROWS) < 1e-6
    for row in ROWS:
        (logit,) = FloatModel(made.model).outputs(row).values()
        (found,) = FloatModel(model).outputs(row).values()
        assert OffCircuit(Function.SIGMOID).apply(logit) == pytest.approx(found, abs=1e-6)


@pytest.mark.parametrize(
    ("operator", "function"),
    [
        ("Sigmoid", Function.SIGMOID),
        ("Softmax", Function.SOFTMAX),
        ("LogSoftmax", Function.LOG_SOFTMAX),
        ("Tanh", Function.TANH),
        ("Exp", Function.EXP),
        ("Softplus", Function.SOFTPLUS),
    ],
)
def test_last_function__each_function__reproduced_by_what_the_consumer_applies(
    operator: str, function: Function
) -> None:
    model = mlp([4, 5, 3], last=operator)
    made = last_function(model)
    assert made is not None
    assert made.off_circuit == OffCircuit(function)
    assert difference(model, made, ROWS) < 1e-6


def test_off_circuit__huge_arguments__do_not_overflow() -> None:
    huge = np.array([-1e4, 0.0, 1e4])
    for function in (Function.SIGMOID, Function.SOFTMAX, Function.LOG_SOFTMAX, Function.TANH, Function.SOFTPLUS):
        assert np.isfinite(OffCircuit(function).apply(huge)).all()
    assert OffCircuit(Function.SIGMOID_PAIR).apply(np.array([0.0])).tolist() == [0.5, 0.5]


def test_last_function__inside_the_network__left_alone() -> None:
    assert last_function(mlp([4, 3, 1], act="Sigmoid")) is None


def test_last_function__softmax_over_one_of_two_axes__left_alone() -> None:
    model = graph_of([helper.make_node("Softmax", ["input"], ["y"], axis=1)], [1, 3, 4], [1, 3, 4])
    assert last_function(model) is None


def test_last_function__shape_changed_after_it__still_taken_off() -> None:
    shape = numpy_helper.from_array(np.array([4]), "shape")
    nodes = [
        helper.make_node("Neg", ["input"], ["x"]),
        helper.make_node("Softmax", ["x"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["y"]),
    ]
    model = graph_of(nodes, [1, 4], [4], [shape])
    made = last_function(model)
    assert made is not None
    assert operators(made.model) == ["Neg"]
    assert difference(model, made, ROWS) < 1e-6


def test_last_function__nothing_before_it__left_alone() -> None:
    assert last_function(graph_of([helper.make_node("Sigmoid", ["input"], ["y"])], [1, 4], [1, 4])) is None


@pytest.mark.parametrize("transposed", [False, True])
def test_fold_batch_norms__after_a_dense_layer__one_gemm(transposed: bool) -> None:
    model = _normalised(transposed=transposed)
    made = fold_batch_norms(model)
    assert made is not None
    assert operators(made.model) == ["Gemm", "Relu"]
    assert difference(model, made, ROWS) < 1e-6


def test_fold_batch_norms__before_any_layer__becomes_a_product_and_a_sum() -> None:
    names = ["scale", "shift", "mean", "variance"]
    made = fold_batch_norms(
        model := graph_of(
            [helper.make_node("BatchNormalization", ["input", *names], ["y"])], [1, 4], [1, 4], _statistics(4)
        )
    )
    assert made is not None
    assert operators(made.model) == ["Mul", "Add"]
    assert difference(model, made, ROWS) < 1e-6


def test_fold_constants__arithmetic_on_weights__done_before() -> None:
    parts = [numpy_helper.from_array(np.full((4, 2), 0.5, np.float32), name) for name in ("a", "b")]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["w"]),
        helper.make_node("Identity", ["input"], ["x"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    made = fold_constants(model := graph_of(nodes, [1, 4], [1, 2], parts))
    assert made is not None
    assert operators(made.model) == ["MatMul"]
    assert difference(model, made, ROWS) == 0.0
    assert fold_constants(made.model) is None


def test_narrow_floats__float64__float32_and_nearly_the_same() -> None:
    weights = numpy_helper.from_array(draw(1).normal(size=(4, 2)), "w")
    model = graph_of([helper.make_node("MatMul", ["input", "w"], ["y"])], [1, 4], [1, 2], [weights], TensorProto.DOUBLE)
    made = narrow_floats(model)
    assert made is not None
    assert made.model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert 0 < difference(model, made, ROWS) < 1e-6
    assert narrow_floats(made.model) is None


def test_batch_of_one__free_batch__fixed_and_the_model_given_unchanged() -> None:
    model = mlp([4, 2], batch="N")
    made = batch_of_one(model)
    assert made is not None
    assert made.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert batch_of_one(made.model) is None


def test_explicit_strides__convolution_with_defaults__written_out() -> None:
    kernel = numpy_helper.from_array(draw(2).normal(size=(2, 1, 2, 2)).astype(np.float32), "w")
    model = graph_of([helper.make_node("Conv", ["input", "w"], ["y"])], [1, 1, 2, 2], [1, 2, 1, 1], [kernel])
    made = explicit_strides(model)
    assert made is not None
    assert {attribute.name for attribute in made.model.graph.node[0].attribute} == {"strides", "dilations", "pads"}
    assert difference(model, made, ROWS) == 0.0
    assert explicit_strides(made.model) is None


def test_rewrite_all__a_rewrite_that_changes_the_output__not_used_and_told() -> None:
    model = mlp([4, 1])

    def doubled(given: onnx.ModelProto) -> Rewritten | None:
        made = onnx.ModelProto()
        made.CopyFrom(given)
        tensor = made.graph.initializer[0]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, tensor.name))
        return Rewritten(made, "doubled the weights")

    prepared = rewrite_all(model, ROWS, [doubled])
    assert prepared.model == model
    assert prepared.steps == ()
    assert "doubled the weights would change the output" in prepared.refused[0]


def test_rewrite_all__one_that_never_ends__said_so() -> None:
    with pytest.raises(ModelError, match="never end"):
        rewrite_all(mlp([4, 1]), ROWS, [lambda model: Rewritten(model, "did nothing")])


def test_rewrite_all__all_of_them__the_same_answers_through_the_off_circuit_function() -> None:
    model = mlp([4, 3, 2], last="Softmax", batch="N")
    prepared = rewrite_all(model, ROWS)
    assert prepared.off_circuit == OffCircuit(Function.SOFTMAX)
    assert prepared.refused == ()
    before, after = FloatModel(model), FloatModel(prepared.model)
    for row in ROWS:
        (was,), (now,) = before.outputs(row).values(), after.outputs(row).values()
        assert prepared.off_circuit.apply(now) == pytest.approx(was, abs=1e-6)


def test_rewrite_all__no_rows__refused() -> None:
    with pytest.raises(ModelError, match="no rows"):
        rewrite_all(mlp([4, 1]), ROWS[:0])


def _statistics(channels: int) -> list[onnx.TensorProto]:
    source = draw(5)
    values = {
        "scale": source.normal(size=channels),
        "shift": source.normal(size=channels),
        "mean": source.normal(size=channels),
    }
    values["variance"] = source.uniform(0.5, 2.0, size=channels)
    return [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]


def _normalised(*, transposed: bool) -> onnx.ModelProto:
    weights = draw(4).normal(size=(3, 4) if transposed else (4, 3)).astype(np.float32)
    parts = [numpy_helper.from_array(weights, "w"), *_statistics(3)]
    nodes = [
        helper.make_node("Gemm", ["input", "w"], ["s"], transB=int(transposed)),
        helper.make_node("BatchNormalization", ["s", "scale", "shift", "mean", "variance"], ["n"]),
        helper.make_node("Relu", ["n"], ["y"]),
    ]
    return graph_of(nodes, [1, 4], [1, 3], parts)
