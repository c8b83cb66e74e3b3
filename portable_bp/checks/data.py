"""Check inputs, targets and sample weights, and put them on the backend."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from array_api_compat import is_array_api_obj

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, Rows, compiled, spans
from portable_bp.checks.bounds import ALLOW, UNBOUNDED, check_bounds, extremes_of, refuse_nonfinite, warn_of_totals
from portable_bp.checks.conversion import as_array, as_host_array, as_precise_array, shape_of
from portable_bp.common.words import counted

MAX_ROWS = 2**31 - 1  # of all members: row numbers are int32


class Inputs(NamedTuple):
    """Inputs on the backend.

    Attributes
    ----------
    array : array, shape (samples, features), or (members, samples, features)
        The samples, which members share or have of their own.
    single : bool
        Whether one sample of shape (features,) was given, so that results have no axis of samples either.
    """

    array: Array
    single: bool


class DataChecker(NamedTuple):
    """Checks data for a network, and moves them to its backend.

    Attributes
    ----------
    backend : Backend
        The network's backend.
    sizes : tuple of int
        The number of its inputs, then of neurons in each layer.
    check_finite : bool
        Whether NaN and infinity are refused.
    members : int or None
        The number of members, if it is a population.
    """

    backend: Backend
    sizes: tuple[int, ...]
    check_finite: bool
    members: int | None = None

    def inputs(self, x: Any) -> Inputs:
        """Return inputs on the backend."""
        features = self.sizes[0]
        array = x if isinstance(x, Rows) else as_array(self.backend, x, "x")
        fits = array.ndim in (1, 2) or (array.ndim == 3 and array.shape[0] == self.members)
        if not fits or array.shape[-1] != features:
            own = f", or ({self.members}, samples, {features}) for samples of each member's own" if self.members else ""
            raise ValueError(
                f"x has shape {tuple(array.shape)}, and this network has {counted(features, 'input')}: "
                f"give an array of shape (samples, {features}), or ({features},) for one sample{own}."
            )
        if array.ndim == 3 and math.prod(array.shape[:2]) > MAX_ROWS:
            raise ValueError(
                f"x has shape {tuple(array.shape)}, and the samples of all members together can be at most {MAX_ROWS:,}: give "
                "fewer, or train fewer members at once."
            )
        if 0 in array.shape:
            raise ValueError(f"x has shape {tuple(array.shape)}: it holds no samples; give at least one.")
        if isinstance(array, Rows):
            return Inputs(array, False)
        self._refuse_nonfinite(array, "x")
        return Inputs(array[None, :] if array.ndim == 1 else array, array.ndim == 1)

    def chunks(self, x: Any) -> Iterator[Inputs]:
        """Yield inputs on the backend, large ones in chunks, each of which is moved and checked when it is needed."""
        # Host data that is not an array, such as a list, is converted once: its rows may be ragged, and slicing it is slow.
        rows: Any = x if is_array_api_obj(x) else as_host_array(self.backend, x, "x")
        is_of_members = rows.ndim == 3 and rows.shape[0] == self.members
        fits = (rows.ndim == 2 or is_of_members) and rows.shape[-1] == self.sizes[0]
        slices = spans(rows.shape[-2], max(self.sizes) * (self.members or 1)) if fits else []
        if len(slices) < 2:
            yield self.inputs(rows)
            return
        for span in slices:
            yield self.inputs(rows[..., span, :])

    def batch(self, x: Any, target: Any, loss: Any, sample_weight: Any = None) -> tuple[tuple[Array, Array, Any], bool]:
        """Return inputs, target and sample weight (or None) on the backend, and whether one sample was given."""
        inputs = self.inputs(x)
        checked_target = self._target(target, loss, inputs)
        return (inputs.array, checked_target, self._sample_weight(sample_weight, inputs)), inputs.single

    def _target(self, target: Any, loss: Any, inputs: Inputs) -> Array:
        """Return targets on the backend, of shape (samples, outputs), or (samples,) if they are integer classes.

        In a population, they may have a leading axis of members.
        """
        samples, outputs = inputs.array.shape[-2], self.sizes[-1]
        one_each = () if inputs.single else (samples,)
        rows = (*one_each, outputs)
        takes_classes = getattr(loss, "takes_classes", False)
        if takes_classes and outputs == 1:
            raise ValueError(
                f"this network has 1 output, and {type(loss).__name__} needs an output for each class: make the network with "
                "as many outputs as classes, or use loss='binary_cross_entropy' with targets of 0 and 1."
            )
        given_shape = shape_of(target) if takes_classes else None
        is_classes = given_shape in (one_each, (self.members, *one_each)) and given_shape != rows
        array = as_array(self.backend, target, "target", "int32" if is_classes else None)
        own = self._members_of(tuple(array.shape), one_each, rows, takes_classes or outputs == 1)
        one_each, rows = (*own, *one_each), (*own, *rows)
        if is_classes:
            # An integer array of the backend may hold numbers that int32 cannot represent.
            given = target if type(target) is type(array) else array
            expected = f"classes from 0 to {outputs - 1}, one for each output"
            check_bounds(self.backend, given, (0, outputs - 1), expected)
            return array[..., None] if inputs.single else array
        shape = tuple(array.shape)
        if shape not in (rows, one_each) or (shape == one_each and outputs != 1):
            classes = f", or {one_each} of integer classes" if takes_classes else ""
            own_targets = f", or of ({self.members}, ...) for targets of each member's own" if self.members else ""
            raise ValueError(
                f"target has shape {shape}, and x has {counted(samples, 'sample')} for a network of "
                f"{counted(outputs, 'output')}: give an array of shape {rows}{classes}{own_targets}."
            )
        self._refuse_nonfinite(array, "target")
        bounds = getattr(loss, "target_bounds", UNBOUNDED)
        check_bounds(self.backend, array, bounds, f"numbers from {bounds[0]:g} to {bounds[1]:g}")
        if takes_classes:
            warn_of_totals(self.backend, array, loss)
        return namespace(array).reshape(array, (*own, samples, outputs))

    def _members_of(
        self, shape: tuple[int, ...], one_each: tuple[int, ...], rows: tuple[int, ...], takes_one_each: bool
    ) -> tuple[int, ...]:
        """Return the axis of members that a target's shape begins with, or nothing if it is shared."""
        if self.members is None or shape[:1] != (self.members,):
            return ()
        is_shared, is_own = shape in (rows, one_each), shape[1:] == rows or (takes_one_each and shape[1:] == one_each)
        if is_shared and is_own and self.members > 1:
            raise ValueError(
                f"target has shape {shape}, which may be classes for each of {self.members} members, or outputs that all "
                f"members share: give an array of shape {(self.members, *rows)}, with classes one-hot encoded."
            )
        return (self.members,) if is_own and not is_shared else ()

    def _sample_weight(self, sample_weight: Any, inputs: Inputs) -> Array | None:
        """Return sample weights on the backend, of shape (samples,) and scaled to a mean of one, or None if none are given."""
        if sample_weight is None:
            return None
        # Scaled before they are cast, since float32 may not be able to represent the given numbers.
        own, array = as_precise_array(self.backend, sample_weight, "sample_weight")
        samples = inputs.array.shape[-2]
        if tuple(array.shape) not in ((samples,), (self.members, samples)):
            each = f", or ({self.members}, {samples}) for weights of each member's own" if self.members else ""
            raise ValueError(
                f"sample_weight has shape {tuple(array.shape)}, and x has {counted(samples, 'sample')}: "
                f"give an array of shape ({samples},){each}."
            )
        refuse_nonfinite(own, array, "sample_weight")
        smallest, _ = extremes_of(own, array)
        least_of_largest, _ = extremes_of(own, compiled(own, _largest)(array))
        if smallest < 0 or least_of_largest == 0:
            raise ValueError(
                "sample_weight holds a negative weight, or only zeros: give weights from 0 up, some of them above 0."
            )
        return as_array(self.backend, compiled(own, _scaled_to_mean_one)(array), "sample_weight")

    def _refuse_nonfinite(self, array: Array, name: str) -> None:
        if self.check_finite:
            refuse_nonfinite(self.backend, array, name, ALLOW)


def split_validation(validation_data: Any) -> tuple[Any, Any, Any]:
    """Return validation data as x, target and sample weight; without weights, they are None."""
    if not isinstance(validation_data, tuple) or len(validation_data) not in (2, 3):
        raise ValueError(
            f"validation_data is a {type(validation_data).__name__}, and should be a tuple (x, target) or "
            "(x, target, sample_weight)."
        )
    x, target, *weight = validation_data
    return x, target, weight[0] if weight else None


def _largest(array: Array) -> Array:
    return namespace(array).max(array, axis=-1)


def _scaled_to_mean_one(array: Array) -> Array:
    xp = namespace(array)
    array = array / xp.max(array, axis=-1, keepdims=True)
    return array / xp.mean(array, axis=-1, keepdims=True)
