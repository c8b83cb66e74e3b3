"""What printers of a whole program have in common: its stages in order, and constant numbers as arguments."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from portable_bp.backends.graph.buffers import Buffers, Instruction
from portable_bp.backends.graph.ir import Node
from portable_bp.backends.graph.kernels import Line, write_kernel
from portable_bp.backends.graph.schedule import Stage
from portable_bp.common.trees import leaves


class ElementwiseLoop(NamedTuple):
    """Elementwise operations that one loop does."""

    reads: tuple[np.ndarray, ...]  # in0, in1, ... in the lines
    writes: tuple[np.ndarray, ...]
    scalars: dict[int, Node]  # by array: those that are read and are constant numbers
    lines: tuple[Line, ...]
    results: tuple[str, ...]  # the variable for each array that is written


class ProgramPrinter:
    """Prints each operation by the method ``_print_<operation>`` of a subclass, if it has one."""

    buffers: Buffers

    def _print_program(self) -> None:
        for stage in self.buffers.schedule.stages:
            self._print(stage)
        for old, result in zip(self.buffers.graph.carry, self.buffers.graph.results, strict=True):
            if not self.buffers.in_place(old, result):
                self._print_copy(self.buffers.array(result), self.buffers.array(old))

    def _print(self, stage: Stage) -> None:
        instructions = [self.buffers.instruction(group) for group in stage.groups]
        if stage.elementwise:
            kernel, arrays = write_kernel(instructions)
            operands = [pair for each in instructions for pair in zip(each.operands, each.node.inputs, strict=True)]
            scalars = {id(array): node for array, node in operands if node.operation == "constant" and node.shape == ()}
            count = len(kernel.inputs)
            self._print_elementwise(ElementwiseLoop(arrays[:count], arrays[count:], scalars, kernel.lines, kernel.results))
            return
        operation = instructions[0].node.operation
        printer: Any = getattr(self, f"_print_{operation}", None)
        if printer is None:
            raise TypeError(f"{operation} is not compiled")
        printer(instructions[0])

    def _print_elementwise(self, loop: ElementwiseLoop) -> None:
        raise NotImplementedError

    def _print_copy(self, source: np.ndarray, target: np.ndarray) -> None:
        raise NotImplementedError

    def _print_reduction(self, instruction: Instruction) -> None:
        raise NotImplementedError

    def _print_sum(self, instruction: Instruction) -> None:
        self._print_reduction(instruction)

    _print_max = _print_min = _print_sum


def refuse_rows(instruction: Instruction) -> None:
    """Raise a TypeError if rows are taken of an array that is not contiguous, or at indices that may be out of bounds."""
    array, indices = instruction.operands
    if not (array.flags.c_contiguous and indices.flags.c_contiguous):
        raise TypeError("rows of an array that is not contiguous are not compiled")
    if not instruction.node.inputs[1].root.is_given:
        raise TypeError("rows at computed indices, which may be out of bounds, are not compiled")


def separate_arrays(data: Any) -> list[np.ndarray]:
    """Return a contiguous array for each leaf, an object of its own even where leaves are one: code knows them by identity."""
    return [np.asarray(array, order="C").view() for array in leaves(data)]


def address_of(array: np.ndarray) -> int:
    """Return the address of an array's first number."""
    return array.__array_interface__["data"][0]


def as_float(node: Node) -> float:
    """Return the value of a constant number, which compiled code takes as float64."""
    value = node.attributes["value"].item()
    if isinstance(value, int) and int(float(value)) != value:
        raise TypeError(f"{value} is not compiled, since it is no float64")
    return float(value)
