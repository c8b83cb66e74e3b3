"""What is recorded as a graph, and what each pass makes of one."""

import math
import textwrap
import tracemalloc

import array_api_compat.numpy as xp
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.backends.graph.passes import (
    factors_in_bfloat16,
    numbers_without_axes,
    roundings_into_takes,
    row_sums_as_products,
    scale_factors,
    sums_as_products,
    sums_into_products,
    sums_of_products,
    sums_of_sums,
    updates_into_products,
)
from portable_bp.backends.graph.printers.numpy import NumpyLibrary
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.backends.graph.trace import record


def graph_of(function, *carry, data=(), item=(), library=None):
    """Return the graph of a function that returns the next carry."""
    return record(library or NumpyLibrary(), lambda *given: function(*given[0], *given[1], *given[2]), carry, data, item)


def assert_is(graph, expected):
    assert str(graph) == textwrap.dedent(expected).strip()


def test_a_graph_is_printed_as_it_is_computed():
    graph = graph_of(
        lambda weight, x: (weight - 0.5 * np.sum(x @ weight.mT, axis=0, keepdims=True).mT * weight,),
        np.zeros((3, 2), "float32"),
        data=(np.zeros((5, 2), "float32"),),
    )
    assert_is(
        graph,
        """
        carry0: float32[3, 2]
        data0: float32[5, 2]
        v0 = permute_dims(carry0, axes=(1, 0))  float32[2, 3]
        v1 = matmul(data0, v0)  float32[5, 3]
        v2 = sum(v1, axis=(0,), keepdims=True)  float32[1, 3]
        v3 = permute_dims(v2, axes=(1, 0))  float32[3, 1]
        v4 = multiply(0.5, v3)  float32[3, 1]
        v5 = multiply(v4, carry0)  float32[3, 2]
        v6 = subtract(carry0, v5)  float32[3, 2]
        return v6
        """,
    )


SAME = {
    "functions of NumPy": lambda a: (np.maximum(np.exp(np.negative(a)), 0.5) / np.sum(a, axis=-1, keepdims=True),),
    "methods": lambda a: ((-a).__array_namespace__().exp(-a).clip(0.5, None) / a.sum(-1, keepdims=True),),
    "the standard": lambda a: (xp_of(a).maximum(xp_of(a).exp(-a), 0.5) / xp_of(a).sum(a, axis=-1, keepdims=True),),
}


def xp_of(array):
    return array.__array_namespace__()


@pytest.mark.parametrize("function", SAME.values(), ids=SAME)
def test_functions_methods_and_the_standard_give_the_same_graph(function):
    assert_is(
        graph_of(function, np.zeros((2, 3))),
        """
        carry0: float64[2, 3]
        v0 = negative(carry0)  float64[2, 3]
        v1 = exp(v0)  float64[2, 3]
        v2 = maximum(v1, 0.5)  float64[2, 3]
        v3 = sum(carry0, axis=(1,), keepdims=True)  float64[2, 1]
        v4 = divide(v2, v3)  float64[2, 3]
        return v4
        """,
    )


def test_functions_of_pytorch_give_the_same_operations():
    torch = pytest.importorskip("torch")
    from portable_bp.backends.graph.printers.torch import TorchLibrary

    def function(a):
        return (torch.sub(torch.mul(a, 2.0), torch.tanh(a).sum(dim=1, keepdim=True)),)

    graph = graph_of(function, torch.zeros(2, 3), library=TorchLibrary(torch.device("cpu")))
    assert_is(
        graph,
        """
        carry0: float32[2, 3]
        v0 = multiply(carry0, 2.0)  float32[2, 3]
        v1 = tanh(carry0)  float32[2, 3]
        v2 = sum(v1, axis=(1,), keepdims=True)  float32[2, 1]
        v3 = subtract(v0, v2)  float32[2, 3]
        return v3
        """,
    )


def test_any_other_function_is_opaque():
    graph = graph_of(lambda a: (a + np.cumsum(a, axis=-1),), np.zeros((2, 3)))
    assert "v0 = opaque(carry0, function=cumsum, operands=(0,), options={'axis': -1})  float64[2, 3]" in str(graph)


def test_arrays_that_a_function_creates_are_constants():
    def function(a):
        xp = xp_of(a)
        return ((xp.arange(3.0) + 1.0) * a + xp.zeros(3, dtype=a.dtype),)

    graph = graph_of(function, np.zeros((2, 3)))
    assert_is(
        graph,
        """
        carry0: float64[2, 3]
        v0 = add(<float64[3]>, 1.0)  float64[3]
        v1 = multiply(v0, carry0)  float64[2, 3]
        v2 = add(v1, <float64[3]>)  float64[2, 3]
        return v2
        """,
    )


def test_a_function_that_stores_an_array_is_refused_and_told_so_later():
    kept = []
    with pytest.raises(TypeError, match="must not store arrays between steps"):
        graph_of(lambda a: (kept.append(2.0 * a), a)[1:], np.zeros(3))
    with pytest.raises(TypeError, match="used an array of another step"):
        np.zeros(3) + kept[0]


def test_dtypes_are_promoted_as_the_library_does():
    def function(a, count, mask):
        return (a * 0.5, np.where(mask, a, count), count / 2, mask & (a > 0.0), np.float64(0.5) * a, np.sum(mask, axis=0))

    carry = np.zeros((2, 3), "float32"), np.zeros((), "int32"), np.ones((2, 3), bool), *[np.zeros(())] * 3
    graph = graph_of(lambda *given: function(*given[:3]), *carry)
    expected = [np.asarray(each).dtype.name for each in function(*carry[:3])]
    assert [node.dtype for node in graph.results] == expected
    assert expected == ["float32", "float64", "float64", "bool", "float64", "int64"]


def test_recording_computes_nothing_and_allocates_little():
    """It costs the same for weights of any size, which takes half a gigabyte here."""

    def step(weight, total, x):
        net = x @ weight.mT
        out = np.hypot(np.tanh(net), np.cbrt(net))  # neither is in the standard
        gradient = (out * (1.0 - out)).mT @ x
        return weight - 0.1 * gradient / xp.sum(gradient * gradient), total + np.mean(out)

    weight = np.broadcast_to(np.float32(0.0), (8192, 16384))
    x = np.broadcast_to(np.float32(0.0), (4096, 16384))
    tracemalloc.start()
    graph_of(step, weight, np.float32(0.0), data=(x,))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**19


def test_a_factor_is_scaled_in_place_of_a_product():
    def step(weight, x, delta):
        return (weight - 0.1 * (delta.mT @ x),)

    graph = graph_of(step, np.zeros((512, 256)), data=(np.zeros((8, 256)), np.zeros((8, 512))))
    assert_is(
        scale_factors(graph),
        """
        carry0: float64[512, 256]
        data0: float64[8, 256], data1: float64[8, 512]
        v0 = multiply(0.1, data1)  float64[8, 512]
        v1 = permute_dims(v0, axes=(1, 0))  float64[512, 8]
        v2 = matmul(v1, data0)  float64[512, 256]
        v3 = subtract(carry0, v2)  float64[512, 256]
        return v3
        """,
    )


def test_a_factor_stays_where_the_product_is_small_or_needed_elsewhere():
    small = graph_of(lambda a, b: (0.1 * (a @ b), b), np.zeros((4, 4)), np.zeros((4, 4)))

    def twice(a, b):
        product = a @ b
        return 0.1 * product, b + product

    used_twice = graph_of(twice, np.zeros((512, 512)), np.zeros((512, 512)))
    for graph in (small, used_twice):
        assert str(scale_factors(graph)) == str(graph)


def test_a_sum_of_products_is_a_product_of_vectors():
    """One that is needed elsewhere too, or is broadcast, stays as it is."""
    x, y = (np.ones(shape, "float32") for shape in ((6,), (6,)))
    graph = graph_of(lambda x, y: (np.vecdot(x, y), xp_of(x).sum(y * y)), x, y)
    assert_is(
        graph,
        """
        carry0: float32[6], carry1: float32[6]
        v0 = multiply(carry0, carry1)  float32[6]
        v1 = sum(v0, axis=(0,), keepdims=False)  float32[]
        v2 = multiply(carry1, carry1)  float32[6]
        v3 = sum(v2, axis=(0,), keepdims=False)  float32[]
        return v1, v3
        """,
    )
    assert_is(
        sums_of_products(graph),
        """
        carry0: float32[6], carry1: float32[6]
        v0 = matmul(carry0, carry1)  float32[]
        v1 = matmul(carry1, carry1)  float32[]
        return v0, v1
        """,
    )
    kept = graph_of(lambda x, y: (x * y, xp_of(x).sum(x * y) + xp_of(x).sum(2.0 * x)), x, y)
    assert str(sums_of_products(kept)) == str(kept)


def test_a_sum_over_an_axis_is_a_product_with_ones():
    graph = graph_of(lambda bias, delta: (bias - np.sum(delta, axis=0),), np.zeros(3), data=(np.zeros((5, 3)),))
    assert_is(
        sums_as_products(graph),
        """
        carry0: float64[3]
        data0: float64[5, 3]
        v0 = matmul(<float64[5]>, data0)  float64[3]
        v1 = subtract(carry0, v0)  float64[3]
        return v1
        """,
    )
    whole = graph_of(lambda bias, count: (bias - np.sum(count), count), np.zeros(3), np.zeros((2, 3), "int32"))
    assert str(sums_as_products(whole)) == str(whole), "a sum of whole numbers, and one over all axes"


def test_a_sum_of_sums_is_one_sum():
    """Unless the first is needed elsewhere, too."""

    def step(a, total, rows):
        error = np.sum(np.sum(0.5 * a, axis=1), axis=1)
        kept = np.sum(np.sum(a, axis=0, keepdims=True), axis=2, keepdims=True)
        twice = np.sum(a, axis=2)
        return a, total + np.sum(error), np.sum(twice) * twice * kept[0, 0, 0]

    graph = graph_of(step, np.zeros((4, 2, 3)), np.zeros(()), np.zeros((4, 2)))
    assert_is(
        sums_of_sums(graph),
        """
        carry0: float64[4, 2, 3], carry1: float64[], carry2: float64[4, 2]
        v0 = multiply(0.5, carry0)  float64[4, 2, 3]
        v1 = sum(carry0, axis=(0, 2), keepdims=True)  float64[1, 2, 1]
        v2 = sum(carry0, axis=(2,), keepdims=False)  float64[4, 2]
        v3 = sum(v0, axis=(0, 1, 2), keepdims=False)  float64[]
        v4 = add(carry1, v3)  float64[]
        v5 = sum(v2, axis=(0, 1), keepdims=False)  float64[]
        v6 = multiply(v5, v2)  float64[4, 2]
        v7 = getitem(v1, key=(0, 0, 0, Ellipsis))  float64[]
        v8 = multiply(v6, v7)  float64[4, 2]
        return carry0, v4, v8
        """,
    )


def test_numbers_are_read_without_axes():
    """Not so vectors, or numbers of an array that has axes itself."""

    def step(weight, rate, row, rates):
        return weight * rate[None, None] + rates[:1, None] * np.exp(rate)[None] - row[None, :], rate * rate, row, rates

    graph = graph_of(step, np.zeros((2, 3)), np.zeros(()), np.zeros(3), np.zeros(4))
    assert_is(
        numbers_without_axes(graph),
        """
        carry0: float64[2, 3], carry1: float64[], carry2: float64[3], carry3: float64[4]
        v0 = multiply(carry0, carry1)  float64[2, 3]
        v1 = getitem(carry3, key=(slice(None, 1, None), None, Ellipsis))  float64[1, 1]
        v2 = exp(carry1)  float64[]
        v3 = multiply(v1, v2)  float64[1, 1]
        v4 = add(v0, v3)  float64[2, 3]
        v5 = getitem(carry2, key=(None, slice(None, None, None), Ellipsis))  float64[1, 3]
        v6 = subtract(v4, v5)  float64[2, 3]
        v7 = multiply(carry1, carry1)  float64[]
        return v6, v7, carry2, carry3
        """,
    )


def test_rows_are_added_up_by_a_product_with_ones():
    """Sums along the rows, over all axes, of views and of what is given stay: their ones would save nothing, or need a copy."""

    def step(bias, delta):
        slope = np.tanh(delta)
        rows = np.sum(slope, axis=0, keepdims=True) + np.sum(slope.mT, axis=0) + np.sum(slope, axis=1)
        return (bias - rows - np.sum(2.0 * slope, axis=0) - np.sum(slope) - np.sum(delta, axis=0),)

    graph = graph_of(step, np.zeros((1, 3), "float32"), data=(np.zeros((3, 3), "float32"),))
    improved = row_sums_as_products(graph)
    assert_is(
        improved,
        """
        carry0: float32[1, 3]
        data0: float32[3, 3]
        v0 = tanh(data0)  float32[3, 3]
        v1 = matmul(<float32[3]>, v0)  float32[1, 3]
        v2 = permute_dims(v0, axes=(1, 0))  float32[3, 3]
        v3 = sum(v2, axis=(0,), keepdims=False)  float32[3]
        v4 = add(v1, v3)  float32[1, 3]
        v5 = sum(v0, axis=(1,), keepdims=False)  float32[3]
        v6 = add(v4, v5)  float32[1, 3]
        v7 = subtract(carry0, v6)  float32[1, 3]
        v8 = multiply(2.0, v0)  float32[3, 3]
        v9 = matmul(<float32[3]>, v8)  float32[3]
        v10 = subtract(v7, v9)  float32[1, 3]
        v11 = sum(v0, axis=(0, 1), keepdims=False)  float32[]
        v12 = subtract(v10, v11)  float32[1, 3]
        v13 = sum(data0, axis=(0,), keepdims=False)  float32[3]
        v14 = subtract(v12, v13)  float32[1, 3]
        return v14
        """,
    )
    first, second = (node.inputs[0] for node in improved.nodes if node.operation == "matmul")
    assert first is second, "the ones are one array"


def test_factors_are_rounded_once_where_they_are_computed():
    """However often they are multiplied, transposed or not; a product that is a factor itself is rounded, too."""

    def step(weight, x, slope):
        net = x @ weight.mT
        delta = np.tanh(net) * slope
        other = np.sum(delta, axis=0, keepdims=True)
        return (weight - (net.mT @ x + delta.mT @ (net @ weight)) * other.mT,)

    data = np.zeros((5, 2), "float32"), np.zeros((5, 3), "float32")
    graph = graph_of(step, np.zeros((3, 2), "float32"), data=data)
    rounded = factors_in_bfloat16(row_sums_as_products(graph))
    assert_is(
        rounded,
        """
        carry0: float32[3, 2]
        data0: float32[5, 2], data1: float32[5, 3]
        v0 = astype(data0)  bfloat16[5, 2]
        v1 = astype(carry0)  bfloat16[3, 2]
        v2 = permute_dims(v1, axes=(1, 0))  bfloat16[2, 3]
        v3 = matmul(v0, v2)  float32[5, 3]
        v4 = astype(v3)  bfloat16[5, 3]
        v5 = tanh(v3)  float32[5, 3]
        v6 = multiply(v5, data1)  float32[5, 3]
        v7 = astype(v6)  bfloat16[5, 3]
        v8 = matmul(<float32[5]>, v6)  float32[1, 3]
        v9 = permute_dims(v4, axes=(1, 0))  bfloat16[3, 5]
        v10 = matmul(v9, v0)  float32[3, 2]
        v11 = matmul(v4, v1)  float32[5, 2]
        v12 = astype(v11)  bfloat16[5, 2]
        v13 = permute_dims(v7, axes=(1, 0))  bfloat16[3, 5]
        v14 = matmul(v13, v12)  float32[3, 2]
        v15 = add(v10, v14)  float32[3, 2]
        v16 = permute_dims(v8, axes=(1, 0))  float32[3, 1]
        v17 = multiply(v15, v16)  float32[3, 2]
        v18 = subtract(carry0, v17)  float32[3, 2]
        return v18
        """,
    )
    double = graph_of(lambda a, b: (a @ b, b), np.zeros((2, 2)), np.zeros((2, 2)))
    assert str(factors_in_bfloat16(double)) == str(double)


def test_a_part_of_a_factor_is_rounded_alone():
    graph = graph_of(lambda a, b: (a, a[:, ::2] @ b), np.zeros((2, 4), "float32"), np.zeros((2, 2), "float32"))
    assert_is(
        factors_in_bfloat16(graph),
        """
        carry0: float32[2, 4], carry1: float32[2, 2]
        v0 = getitem(carry0, key=(slice(None, None, None), slice(None, None, 2), Ellipsis))  float32[2, 2]
        v1 = astype(v0)  bfloat16[2, 2]
        v2 = astype(carry1)  bfloat16[2, 2]
        v3 = matmul(v1, v2)  float32[2, 2]
        return carry0, v3
        """,
    )


def test_sums_are_made_by_the_products_that_they_follow():
    def step(bias, total, x, weight):
        net = x @ weight + bias
        return bias, 0.9 * total - np.tanh(net)

    data = np.zeros((5, 2)), np.zeros((2, 3))
    graph = graph_of(step, np.zeros((1, 3)), np.zeros((5, 3)), data=data)
    assert_is(
        sums_into_products(graph),
        """
        carry0: float64[1, 3], carry1: float64[5, 3]
        data0: float64[5, 2], data1: float64[2, 3]
        v0 = addmm(carry0, data0, data1)  float64[5, 3]
        v1 = multiply(0.9, carry1)  float64[5, 3]
        v2 = tanh(v0)  float64[5, 3]
        v3 = subtract(v1, v2)  float64[5, 3]
        return carry0, v3
        """,
    )


def test_a_large_product_is_added_to_what_it_updates():
    def step(weight, x, delta):
        return (weight - 0.1 * (delta.mT @ x),)

    graph = graph_of(step, np.zeros((512, 256)), data=(np.zeros((8, 256)), np.zeros((8, 512))))
    assert_is(
        updates_into_products(scale_factors(graph)),
        """
        carry0: float64[512, 256]
        data0: float64[8, 256], data1: float64[8, 512]
        v0 = multiply(0.1, data1)  float64[8, 512]
        v1 = permute_dims(v0, axes=(1, 0))  float64[512, 8]
        v2 = add_product(carry0, v1, data0, alpha=-1.0)  float64[512, 256]
        return v2
        """,
    )


def test_a_schedule_shows_what_runs_together():
    graph = graph_of(lambda a, x: (np.tanh(a @ x) + 1.0,), np.zeros((2, 2)), data=(np.zeros((2, 2)),))
    assert (
        str(Schedule(graph, math.inf))
        == textwrap.dedent(
            """
        one call:
            v0 = matmul(carry0, data0)  float64[2, 2]
        one loop or kernel:
            v1 = tanh(v0)  float64[2, 2]
            v2 = add(v1, 1.0)  float64[2, 2]
        """
        ).strip()
    )


def test_what_is_recorded_and_why_a_step_is_called_is_printed_on_request(monkeypatch, capsys):
    monkeypatch.setenv("PORTABLE_BP_DEBUG", "graph")
    x, target = np.eye(3), np.ones((3, 2))
    bp.Network([3, 2], backend="numpy", seed=0).fit(x, target, learning_rate=0.0123, epochs=3)
    shown = capsys.readouterr().err
    assert "recorded:\ncarry0: float32[2, 3]" in shown and "runs as:\none call:" in shown

    def looks(net):
        return net if float(net[0, 0]) > 0.0 else 2.0 * net

    pair = looks, lambda slope, signal: slope
    bp.Network([3, 2], activation=pair, output_activation=pair, backend="numpy", seed=0).fit(x, target, epochs=3)
    assert "a step cannot be recorded: an array's numbers are unknown" in capsys.readouterr().err


def test_rows_that_are_only_factors_are_rounded_while_they_are_gathered():
    def step(weight, x, target, rows):
        out = np.take(x, rows, axis=0) @ weight.mT
        return (weight - (out - np.take(target, rows, axis=0)).mT @ np.take(x, rows, axis=0),)

    data = np.zeros((9, 2), "float32"), np.zeros((9, 3), "float32")
    graph = graph_of(step, np.zeros((3, 2), "float32"), data=data, item=(np.zeros(5, int),))
    assert_is(
        roundings_into_takes(factors_in_bfloat16(graph)),
        """
        carry0: float32[3, 2]
        data0: float32[9, 2], data1: float32[9, 3]
        item0: int64[5]
        v0 = take(data0, item0, axis=0)  bfloat16[5, 2]
        v1 = astype(carry0)  bfloat16[3, 2]
        v2 = permute_dims(v1, axes=(1, 0))  bfloat16[2, 3]
        v3 = matmul(v0, v2)  float32[5, 3]
        v4 = take(data1, item0, axis=0)  float32[5, 3]
        v5 = subtract(v3, v4)  float32[5, 3]
        v6 = astype(v5)  bfloat16[5, 3]
        v7 = permute_dims(v6, axes=(1, 0))  bfloat16[3, 5]
        v8 = matmul(v7, v0)  float32[3, 2]
        v9 = subtract(carry0, v8)  float32[3, 2]
        return v9
        """,
    )
