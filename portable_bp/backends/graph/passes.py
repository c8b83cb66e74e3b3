"""Passes: functions that return a graph that does the same as another one, in less time.

A pass is written as a rule, which returns for a node the one to take its place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from portable_bp.backends.graph.ir import Graph, Node, constant, ordered, rewritten

Pass: TypeAlias = Callable[[Graph], Graph]

LARGE = 32768  # numbers from which one pass over an array takes longer than a call


def applied_to_all(rule: Callable[[Node, dict[Node, int]], Node]) -> Pass:
    """Return the pass that applies a rule to all nodes of a graph in order: ``rule(node, uses)``, where its inputs are new."""
    return functools.wraps(rule)(functools.partial(rewritten, rule=rule))


def _scaled(number: Node, node: Node) -> Node:
    """Return a node times a number; of a view, the array behind it is scaled, so that it stays a view."""
    if node.is_view:
        return node.with_inputs((_scaled(number, node.inputs[0]),))
    return Node("multiply", (number, node), node.shape, node.dtype)


@applied_to_all
def scale_factors(node: Node, uses: dict[Node, int]) -> Node:
    """Scale a factor of a matrix product in place of the product, if the factor is smaller."""
    if node.operation == "multiply" and node.size > LARGE:
        for number, product in (node.inputs, node.inputs[::-1]):
            if number.shape == () and product.operation == "matmul" and uses[product] == 1:
                first, second = product.inputs
                if first.size < node.size:
                    return product.with_inputs((_scaled(number, first), second))
    return node


@applied_to_all
def sums_of_products(node: Node, uses: dict[Node, int]) -> Node:
    """Compute the sum of the products of two vectors' numbers as a matrix product, which writes no products."""
    if node.operation != "sum" or node.shape != () or not node.dtype.startswith("float"):
        return node
    (products,) = node.inputs
    is_only_summed = products.operation == "multiply" and len(products.shape) == 1 and uses[products] == 1
    are_vectors = all(each.shape == products.shape for each in products.inputs)
    return Node("matmul", products.inputs, (), node.dtype) if is_only_summed and are_vectors else node


@applied_to_all
def sums_of_sums(node: Node, uses: dict[Node, int]) -> Node:
    """Compute a sum of sums, such as the error of a batch, as one sum over the axes of both."""
    if node.operation != "sum" or node.inputs[0].operation != "sum" or uses[node.inputs[0]] > 1:
        return node
    (inner,), keepdims = node.inputs, node.attributes["keepdims"]
    (array,), axes = inner.inputs, inner.attributes["axis"]
    if inner.attributes["keepdims"] != keepdims:
        return node
    left = [axis for axis in range(len(array.shape)) if keepdims or axis not in axes]
    every = {*axes, *(left[axis] for axis in node.attributes["axis"])}
    return Node("sum", (array,), node.shape, node.dtype, {"axis": tuple(sorted(every)), "keepdims": keepdims})


def _number_behind(node: Node) -> Node:
    """Return the number that a view with axes of length 1 shows, or the node itself."""
    shown = node
    while shown.is_view and shown.size == 1 and shown.shape:
        shown = shown.inputs[0]
    return shown if shown.shape == () else node


@applied_to_all
def numbers_without_axes(node: Node, uses: dict[Node, int]) -> Node:
    """Compute with a number itself in place of its views, so that arrays of several shapes can be computed together."""
    return node.with_inputs(tuple(map(_number_behind, node.inputs))) if node.is_elementwise and node.shape else node


@functools.lru_cache(maxsize=8)
def _ones(count: int, dtype: str) -> Node:
    """Return a vector of ones, as one constant for all sums of a graph."""
    return constant(np.ones(count, dtype))


def _product_with_ones(node: Node) -> Node:
    """Return the sum over an axis of a matrix or vector as a product."""
    (array,), (axis,) = node.inputs, node.attributes["axis"]
    ones = _ones(array.shape[axis], node.dtype)
    return Node("matmul", (array, ones) if axis == len(array.shape) - 1 else (ones, array), node.shape, node.dtype)


@applied_to_all
def sums_as_products(node: Node, uses: dict[Node, int]) -> Node:
    """Compute a sum over an axis of a matrix, or over a vector, as a product with ones, which takes a third of the time."""
    if node.operation != "sum" or not node.dtype.startswith("float") or len(node.attributes["axis"]) != 1:
        return node
    return node if len(node.inputs[0].shape) > 2 else _product_with_ones(node)


@applied_to_all
def row_sums_as_products(node: Node, uses: dict[Node, int]) -> Node:
    """Compute a sum over the first axis of a matrix as a product with ones, which takes a GPU a fifth of the time.

    Sums over the last axis are as fast as a product. The matrix must be computed in the step: then it is contiguous, as cuBLAS
    requires.
    """
    if node.operation != "sum" or node.dtype not in ("float32", "float64") or node.attributes["axis"] != (0,):
        return node
    (matrix,) = node.inputs
    return node if len(matrix.shape) != 2 or matrix.is_view or matrix.is_given else _product_with_ones(node)


def factors_in_bfloat16(graph: Graph) -> Graph:
    """Round each factor of the float32 matrix products to bfloat16 once; the products stay float32."""

    @functools.cache
    def rounded(node: Node) -> Node:
        if node.operation in ("permute_dims", "reshape"):  # a view of what is rounded is as contiguous as before
            return replace(node, inputs=(rounded(node.inputs[0]),), dtype="bfloat16")
        return Node("astype", (node,), node.shape, "bfloat16")

    def rule(node: Node, uses: dict[Node, int]) -> Node:
        is_matrix_product = node.operation == "matmul" and all(len(each.shape) == 2 for each in node.inputs)
        return node.with_inputs(tuple(map(rounded, node.inputs))) if is_matrix_product and node.dtype == "float32" else node

    graph = rewritten(graph, rule)
    # A factor is rounded next to where it is computed, so that one kernel does both.
    roundings = {node.inputs[0]: node for node in graph.nodes if node.operation == "astype" and node.dtype == "bfloat16"}
    nodes = ordered(each for node in graph.nodes for each in (node, roundings.get(node)) if each)
    return graph._replace(nodes=nodes)


@applied_to_all
def roundings_into_takes(node: Node, uses: dict[Node, int]) -> Node:
    """Round rows to bfloat16 while they are gathered, if they are needed in no other precision."""
    if node.operation == "astype" and node.dtype == "bfloat16":
        (rows,) = node.inputs
        if rows.operation == "take" and rows.attributes["axis"] == 0 and uses[rows] == 1:
            return replace(rows, dtype="bfloat16")
    return node


def _terms(node: Node) -> list[tuple[Node, ...]]:
    """Return what an operation adds to or subtracts from what: the operands of a sum in both orders."""
    orders = {"add": [node.inputs, node.inputs[::-1]], "subtract": [node.inputs]}
    return orders.get(node.operation, [])


@applied_to_all
def updates_into_products(node: Node, uses: dict[Node, int]) -> Node:
    """Add a large matrix product to an array in the same call: ``add_product(array, first, second, alpha)``.

    A step down the gradient then neither writes the gradient nor reads it again.
    """
    if len(node.shape) != 2 or node.size <= LARGE:
        return node
    for other, product in _terms(node):
        if product.operation != "matmul" or uses[product] > 1 or not other.shape == product.shape == node.shape:
            continue
        if all(len(factor.shape) == 2 for factor in product.inputs):
            alpha = 1.0 if node.operation == "add" else -1.0
            return Node("add_product", (other, *product.inputs), node.shape, node.dtype, {"alpha": alpha})
    return node


@applied_to_all
def sums_into_products(node: Node, uses: dict[Node, int]) -> Node:
    """Add an array to a matrix product in the same call (``addmm``), and a scaled array in that of the sum (``add_scaled``)."""
    for other, part in _terms(node):
        if uses[part] > 1 or part.is_given or part.shape != node.shape:
            continue
        if part.operation == "matmul" and node.operation == "add" and len(part.shape) == 2:
            return Node("addmm", (other, *part.inputs), node.shape, node.dtype)
        if part.operation == "multiply" and part.shape == other.shape:
            for number, factor in (part.inputs, part.inputs[::-1]):
                if number.operation == "constant" and number.shape == ():
                    value = number.attributes["value"].item()
                    alpha = -value if node.operation == "subtract" else value
                    return Node("add_scaled", (other, factor), node.shape, node.dtype, {"alpha": alpha})
    return node
