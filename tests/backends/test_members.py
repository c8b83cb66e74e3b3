"""A population is recognized in a recorded step by its operations, and its member axis moves into the dtypes."""

import textwrap

import array_api_compat.numpy as xp
import numpy as np
import pytest

from portable_bp.backends.graph.members import find_members, first_member, members_in_lanes
from portable_bp.backends.graph.printers.calls import UnsuitedError
from portable_bp.backends.graph.printers.numpy import NumpyLibrary
from portable_bp.backends.graph.trace import record

K = 5
WEIGHT = np.zeros((K, 3, 2), "float32")


def graph_of(function, *carry, data=(), item=()):
    """Return the graph of a function that returns the next carry."""
    return record(NumpyLibrary(), lambda *given: function(*given[0], *given[1], *given[2]), carry, data, item)


def block_of(function, *carry, **given):
    """Return the text of the step of a block."""
    return str(members_in_lanes(8)(graph_of(function, *carry, **given)))


def assert_is(text, expected):
    assert text == textwrap.dedent(expected).strip()


def test_what_differs_between_members_has_lanes():
    text = block_of(
        lambda weight, count, x: (weight - 0.1 * ((x @ weight.mT).mT @ x), count + 1),
        WEIGHT,
        np.zeros((), "int32"),
        data=(np.zeros((4, 2), "float32"),),
    )
    assert_is(
        text,
        """
        carry0: float32x8[3, 2], carry1: int32[]
        data0: float32[4, 2]
        v0 = permute_dims(carry0, axes=(1, 0))  float32x8[2, 3]
        v1 = matmul(data0, v0)  float32x8[4, 3]
        v2 = permute_dims(v1, axes=(1, 0))  float32x8[3, 4]
        v3 = matmul(v2, data0)  float32x8[3, 2]
        v4 = multiply(0.10000000149011612, v3)  float32x8[3, 2]
        v5 = subtract(carry0, v4)  float32x8[3, 2]
        v6 = add(carry1, 1)  int32[]
        return v5, v6
        """,
    )


def test_arrays_of_all_members_are_loaded_into_lanes():
    text = block_of(
        lambda weight, mask, rate: (weight * mask - rate[:, None, None],),
        WEIGHT,
        data=(np.zeros((K, 3, 1), "float32"),),
        item=(np.zeros(K, "float32"),),
    )
    assert_is(
        text,
        """
        carry0: float32x8[3, 2]
        data0: float32[5, 3, 1]
        item0: float32[5]
        v0 = load_members(data0)  float32x8[3, 1]
        v1 = multiply(carry0, v0)  float32x8[3, 2]
        v2 = load_members(item0)  float32x8[]
        v3 = getitem(v2, key=(None, None, Ellipsis))  float32x8[1, 1]
        v4 = subtract(v1, v3)  float32x8[3, 2]
        return v4
        """,
    )


def test_rows_at_indices_of_each_member():
    text = block_of(
        lambda weight, x, rows: (weight + xp.sum(xp.take(x, rows, axis=0), axis=1, keepdims=True),),
        WEIGHT,
        data=(np.zeros((9, 2), "float32"),),
        item=(np.zeros((K, 4), "int32"),),
    )
    assert_is(
        text,
        """
        carry0: float32x8[3, 2]
        data0: float32[9, 2]
        item0: int32[5, 4]
        v0 = load_members(item0)  int32x8[4]
        v1 = take(data0, v0, axis=0)  float32x8[4, 2]
        v2 = sum(v1, axis=(0,), keepdims=True)  float32x8[1, 2]
        v3 = add(carry0, v2)  float32x8[3, 2]
        return v3
        """,
    )


def test_the_first_member_reads_the_beginning_of_what_is_given_for_all():
    graph = graph_of(
        lambda weight, count, x, y, rate, rows, own_rows: (
            weight - rate[:, None, None] * (xp.take(x, rows, axis=1).mT @ xp.take(y, own_rows, axis=0)) * np.ones((K, 1, 2)),
            count + 1,
        ),
        WEIGHT.astype("float64"),
        np.zeros((), "int32"),
        data=(np.zeros((K, 9, 3)), np.zeros((9, 2)), np.zeros(K)),
        item=(np.zeros(4, "int32"), np.zeros((K, 4), "int32")),
    )
    assert_is(
        str(first_member(graph)),
        """
        carry0: float64[3, 2], carry1: int32[]
        data0: float64[5, 9, 3], data1: float64[9, 2], data2: float64[5]
        item0: int32[4], item1: int32[5, 4]
        v0 = getitem(data2, key=(0, Ellipsis), members=5)  float64[]
        v1 = getitem(v0, key=(None, None, Ellipsis))  float64[1, 1]
        v2 = getitem(data0, key=(0, Ellipsis), members=5)  float64[9, 3]
        v3 = take(v2, item0, axis=0)  float64[4, 3]
        v4 = permute_dims(v3, axes=(1, 0))  float64[3, 4]
        v5 = getitem(item1, key=(0, Ellipsis), members=5)  int32[4]
        v6 = take(data1, v5, axis=0)  float64[4, 2]
        v7 = matmul(v4, v6)  float64[3, 2]
        v8 = multiply(v1, v7)  float64[3, 2]
        v9 = getitem(<float64[5, 1, 2]>, key=(0, Ellipsis), members=5)  float64[1, 2]
        v10 = multiply(v8, v9)  float64[3, 2]
        v11 = subtract(carry0, v10)  float64[3, 2]
        v12 = add(carry1, 1)  int32[]
        return v11, v12
        """,
    )


def test_as_many_samples_and_neurons_as_members():
    """The batch is no array of members, although its length is theirs."""
    x, weight = np.zeros((3, 3), "float32"), np.zeros((3, 3, 3), "float32")
    graph = graph_of(lambda weight, x: (weight - (xp.tanh(x) @ weight.mT).mT @ xp.tanh(x),), weight, data=(x,))
    members = find_members(graph)
    assert graph.data[0] not in members and graph.carry[0] in members
    assert sum(node in members for node in graph.nodes) == len(graph.nodes) - 1  # all but the tanh


REFUSED = {
    "a mean over members": lambda weight: weight - xp.mean(weight, axis=0, keepdims=True),
    "a sum over all": lambda weight: weight - xp.sum(weight),
    "one member": lambda weight: weight - weight[1:2, :, :],
    "members in another order": lambda weight: weight[::-1, :, :] + 0.0,
    "another axis first": lambda weight: xp.permute_dims(xp.permute_dims(weight, (1, 0, 2)) + 0.0, (1, 0, 2)),
    "one long axis": lambda weight: xp.reshape(xp.reshape(weight, (-1, 2)) + 0.0, weight.shape),
    "members side by side": lambda weight: weight + xp.sum(weight, axis=(1, 2)),
    "opaque": lambda weight: weight + xp.cumsum(weight, axis=0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operations_that_may_combine_members_are_refused(name):
    """There are as many members as rows and columns, so every shape fits."""
    graph = graph_of(lambda weight: (REFUSED[name](weight),), np.zeros((2, 2, 2), "float32"))
    with pytest.raises(UnsuitedError):
        find_members(graph)


def test_a_single_network_is_no_population():
    graph = graph_of(lambda weight, bias: (weight + bias[:, None], bias * 2.0), np.zeros((3, 2)), np.zeros(3))
    with pytest.raises(UnsuitedError, match="no population"):
        find_members(graph)


def test_a_number_that_would_differ_between_members_is_refused():
    graph = graph_of(lambda weight, total: (weight, xp.sum(weight)), WEIGHT, np.zeros((), "float32"))
    with pytest.raises(UnsuitedError):
        find_members(graph)
