"""What a network is given, checked and put on its backend before anything changes."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from portable_bp.algorithm.activations import bounds_of
from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.backends import Backend, Rows, advise_smaller, attempt, compiled, select_backend, spans
from portable_bp.backends.host import host_array, read_numbers
from portable_bp.backends.selector import dtype_name

REFUSED = (TypeError, ValueError, OverflowError)  # what backends raise for data that they do not take
LET_THROUGH = ", or let them through with check_finite=False"


class Inputs(NamedTuple):
    """Inputs on the backend.

    Attributes
    ----------
    array : array, shape (samples, features)
        The samples.
    single : bool
        Whether one sample was given alone, of shape (features,): results are then of one sample too.
    """

    array: Array
    single: bool


def check_inputs(backend: Backend, x: Any, features: int, check_finite: bool) -> Inputs:
    """Return inputs on the backend.

    Parameters
    ----------
    backend : Backend
        Where they go.
    x : list or array, shape (samples, features) or (features,)
        What was given.
    features : int
        How many inputs the network has.
    check_finite : bool
        Whether NaN and infinity are refused.

    Raises
    ------
    ValueError
        If the shape is wrong, there are no samples, or a number is not finite.
    TypeError
        If the backend refuses the kind of array.
    """
    array = x if isinstance(x, Rows) else as_array(backend, x, "x")
    if array.ndim not in (1, 2) or array.shape[-1] != features:
        raise ValueError(
            f"x has shape {tuple(array.shape)}, and this network has {_count(features, 'input')}: "
            f"give an array of shape (samples, {features}), or ({features},) for one sample."
        )
    if 0 in array.shape:
        raise ValueError(f"x has shape {tuple(array.shape)}: it holds no samples; give at least one.")
    if isinstance(array, Rows):
        return Inputs(array, False)
    if check_finite:
        refuse_nonfinite(backend, array, "x", LET_THROUGH)
    return Inputs(array[None, :] if array.ndim == 1 else array, array.ndim == 1)


def check_parts(backend: Backend, x: Any, features: int, width: int, check_finite: bool) -> Iterator[Inputs]:
    """Yield inputs on the backend, of many samples some at a time: each part is moved and checked when it is asked for.

    Parameters
    ----------
    backend, x, features, check_finite
        As `check_inputs` takes them.
    width : int
        How many numbers a sample takes at its widest.

    Raises
    ------
    ValueError, TypeError
        As `check_inputs` does; of a value, when its part comes.
    """
    # What NumPy has yet to read, such as a list, is read once: its rows may differ in length, and it is slow to slice.
    rows: Any = x if is_array_api_obj(x) else read_host(backend, x, "x")
    parts = spans(rows.shape[0], width) if tuple(rows.shape[1:]) == (features,) else []
    if len(parts) < 2:
        yield check_inputs(backend, rows, features, check_finite)
        return
    for part in parts:
        yield check_inputs(backend, rows[part, :], features, check_finite)


def check_target(backend: Backend, target: Any, loss: Any, inputs: Inputs, outputs: int, check_finite: bool) -> Array:
    """Return targets on the backend, of shape (samples, outputs), or (samples,) where they are classes.

    Parameters
    ----------
    backend : Backend
        Where they go.
    target : list or array
        One row a sample; one number a sample where there is one output; one integer a sample for a loss of classes.
    loss : loss
        May say which bounds its targets have, and whether it takes classes.
    inputs : Inputs
        What the targets belong to.
    outputs : int
        How many outputs the network has.
    check_finite : bool
        Whether NaN and infinity are refused.

    Raises
    ------
    ValueError
        If the shape is wrong, or a target is not finite, or outside the loss's bounds or classes.
    TypeError
        If the backend refuses the kind of array, or classes are not integers.
    """
    samples = inputs.array.shape[0]
    one_each = () if inputs.single else (samples,)
    rows = (*one_each, outputs)
    if getattr(loss, "takes_classes", False) and outputs == 1:
        raise ValueError(
            f"this network has 1 output, and {type(loss).__name__} takes an output for each class: make the network with as "
            "many outputs as classes, or take loss='binary_cross_entropy' with targets of 0 and 1."
        )
    is_classes = getattr(loss, "takes_classes", False) and _shape(target) == one_each
    array = as_array(backend, target, "target", "int32" if is_classes else None)
    shape = tuple(array.shape)
    if is_classes:
        # An integer array of the backend's own may have held numbers that int32 does not.
        given = target if type(target) is type(array) else array
        check_bounds(backend, given, (0, outputs - 1), f"classes from 0 to {outputs - 1}, one for each output")
        return array[None] if inputs.single else array
    if shape not in (rows, one_each) or (shape == one_each and outputs != 1):
        classes = f", or {one_each} of integer classes" if getattr(loss, "takes_classes", False) else ""
        raise ValueError(
            f"target has shape {shape}, and x has {_count(samples, 'sample')} for a network of "
            f"{_count(outputs, 'output')}: give an array of shape {rows}{classes}."
        )
    if check_finite:
        refuse_nonfinite(backend, array, "target", LET_THROUGH)
    bounds = getattr(loss, "target_bounds", (-math.inf, math.inf))
    check_bounds(backend, array, bounds, f"numbers from {bounds[0]:g} to {bounds[1]:g}")
    return namespace(array).reshape(array, (samples, outputs))


def check_sample_weight(backend: Backend, sample_weight: Any, inputs: Inputs) -> Array | None:
    """Return sample weights on the backend, of shape (samples,) and scaled to a mean of one, or None where none were given.

    Parameters
    ----------
    backend : Backend
        Where they go.
    sample_weight : list or array, shape (samples,), or None
        What each sample counts for.
    inputs : Inputs
        What the weights belong to.

    Raises
    ------
    ValueError
        If the shape is wrong, or a weight is negative or not finite, or all are zero.
    """
    if sample_weight is None:
        return None
    own, array = _take_weight(backend, sample_weight)
    samples = inputs.array.shape[0]
    if tuple(array.shape) != (samples,):
        raise ValueError(
            f"sample_weight has shape {tuple(array.shape)}, and x has {_count(samples, 'sample')}: "
            f"give an array of shape ({samples},)."
        )
    refuse_nonfinite(own, array, "sample_weight")
    lowest, highest = own.to_numpy(compiled(own, _bounds)(array)).tolist()
    if lowest < 0 or highest == 0:
        raise ValueError("sample_weight holds a negative weight, or nothing but zeros: give weights from 0 up.")
    return as_array(backend, compiled(own, _scaled_to_mean_one)(array), "sample_weight")


def _take_weight(backend: Backend, sample_weight: Any) -> tuple[Backend, Array]:
    """Return sample weights where and as precise as they were given, since they are scaled before they are cast."""
    if is_array_api_obj(sample_weight) and not is_numpy_array(sample_weight):
        own = in_own_precision(backend, sample_weight)
        return own, as_array(own, sample_weight, "sample_weight")
    try:
        array = read_numbers(sample_weight, backend.name)
    except REFUSED as error:
        raise _told_of("sample_weight", error) from None
    # A long double is scaled as one; whole numbers need not stay exact.
    return select_backend("numpy", "float64"), array if array.dtype.itemsize > 8 else array.astype(np.float64)


def in_own_precision(backend: Backend, array: Array) -> Backend:
    """Return a backend, in float64 if an array of its library is."""
    double = str(array.dtype).endswith("float64") and array_namespace(array) is backend.xp
    return select_backend(backend, "float64") if double else backend


def check_validation(validation_data: Any) -> tuple[Any, Any, Any]:
    """Return validation data as x, target and sample weight, which may be None.

    Parameters
    ----------
    validation_data : tuple
        What was given.

    Raises
    ------
    ValueError
        If it is no tuple of two or three.
    """
    if not isinstance(validation_data, tuple) or len(validation_data) not in (2, 3):
        raise ValueError(
            f"validation_data is a {type(validation_data).__name__}, and should be a tuple (x, target) or "
            "(x, target, sample_weight)."
        )
    x, target, *weight = validation_data
    return x, target, weight[0] if weight else None


def check_weights(
    backend: Backend,
    weights: Sequence[Any],
    biases: Sequence[Any] | None,
    check_finite: bool,
    expected: Sequence[tuple[int, int]] | None = None,
) -> tuple[Layer, ...]:
    """Return weights and biases on the backend, as layers that fit together.

    Parameters
    ----------
    backend : Backend
        Where they go.
    weights : sequence of arrays, each of shape (fan_out, fan_in)
        From the layer above the inputs up.
    biases : sequence of arrays, each of shape (fan_out,), or None
        None for layers without biases.
    check_finite : bool
        Whether NaN and infinity are refused.
    expected : sequence of tuple of int, optional
        The shapes that an initializer was asked for.

    Raises
    ------
    ValueError
        If the shapes do not fit together, or a number is not finite.
    TypeError
        If the backend refuses a kind of array.
    """
    for given, name in ((weights, "weights"), (() if biases is None else biases, "biases")):
        if not isinstance(given, Iterable):
            raise TypeError(f"{name} is {given!r}, and should be a list of arrays, one a layer.")
    taken = [as_array(backend, weight, f"weight {number}") for number, weight in enumerate(weights, start=1)]
    shapes = [tuple(weight.shape) for weight in taken]
    if expected is not None and shapes != list(expected):
        raise ValueError(f"the initializer gave weights of shapes {shapes}, and was asked for {list(expected)}.")
    fit = shapes and all(len(shape) == 2 and 0 not in shape for shape in shapes)
    if not fit or any(below[0] != above[1] for below, above in itertools.pairwise(shapes)):
        raise ValueError(
            f"weights have shapes {shapes}, and should have (fan_out, fan_in), each fan_in being the fan_out before it."
        )
    if check_finite:
        for number, weight in enumerate(taken, start=1):
            refuse_nonfinite(backend, weight, f"weight {number}", LET_THROUGH)
    if biases is None:
        return tuple(Layer(weight, None) for weight in taken)
    taken_biases = [as_array(backend, bias, f"bias {number}") for number, bias in enumerate(biases, start=1)]
    bias_shapes = [tuple(bias.shape) for bias in taken_biases]
    if bias_shapes != [shape[:1] for shape in shapes]:
        raise ValueError(f"biases have shapes {bias_shapes}, and should have {[shape[:1] for shape in shapes]}.")
    return tuple(map(Layer, taken, taken_biases))


def read_host(backend: Backend, data: Any, name: str) -> np.ndarray:
    """Return data of the host as a NumPy array, in the backend's dtype.

    Parameters
    ----------
    backend : Backend
        Where they will go.
    data : list, data frame, or anything else that NumPy reads
        What was given.
    name : str
        What the message calls it.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the backend would refuse them.
    """
    try:
        return host_array(data, dtype_name(backend.dtype), backend.name)
    except REFUSED as error:
        raise _told_of(name, error) from None


def as_array(backend: Backend, data: Any, name: str, dtype: str | None = None) -> Array:
    """Return data on the backend.

    Parameters
    ----------
    backend : Backend
        Where they go.
    data : list or array
        What was given.
    name : str
        What the message calls it.
    dtype : str, optional
        As the backend takes it.

    Raises
    ------
    TypeError, ValueError, OverflowError
        If the backend refuses them.
    """
    try:
        return attempt(
            lambda: backend.asarray(data, dtype),
            backend,
            f"taking {name}",
            lambda memory: advise_smaller(memory, backend, name, math.prod(_shape(data) or ())),
        )
    except REFUSED as error:
        raise _told_of(name, error) from None


def _told_of(name: str, error: Exception) -> Exception:
    return type(error)(f"{name} cannot be taken: {error}")


def _shape(data: Any) -> tuple[int, ...] | None:
    try:
        return tuple(data.shape) if hasattr(data, "shape") else np.shape(data)
    except ValueError:  # ragged, which taking it will say
        return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def refuse_nonfinite(backend: Backend, array: Array, name: str, remedy: str = "") -> None:
    """Raise if an array holds NaN or infinity.

    Parameters
    ----------
    backend : Backend
        Where it is.
    array : array
        What to look at.
    name : str
        What the message calls it.
    remedy : str
        What may be done besides, as the end of the sentence.

    Raises
    ------
    ValueError
        If it does.
    """
    # A sum is sooner made than a look at every number, and is finite only if they are; of very large ones it may not be.
    if not backend.to_numpy(compiled(backend, _finite_sum)(array)) and not backend.to_numpy(
        compiled(backend, _all_finite)(array)
    ):
        raise ValueError(f"{name} holds NaN or infinity: drop or replace such values{remedy}.")


def check_bounds(backend: Backend, array: Array, bounds: tuple[float, float], expected: str) -> None:
    """Raise if a target is not within bounds.

    Parameters
    ----------
    backend : Backend
        Where it is.
    array : array
        The target.
    bounds : tuple of float
        The lowest and the highest number that it may hold.
    expected : str
        What the message says that it should hold.

    Raises
    ------
    ValueError
        If it holds others.
    """
    if bounds == (-math.inf, math.inf):
        return
    lowest, highest = backend.to_numpy(compiled(backend, _bounds)(array)).tolist()
    if lowest < bounds[0] or highest > bounds[1]:
        raise ValueError(f"target holds numbers from {lowest:g} to {highest:g}, and this loss takes {expected}.")


def warn_of_bounds(backend: Backend, target: Array, output_activation: Any, loss: Any) -> None:
    """Warn if a target lies outside the values that the output layer can give.

    Parameters
    ----------
    backend : Backend
        Where it is.
    target : array, shape (samples, outputs), or (samples,) of integer classes
        The target.
    output_activation : activation
        Its ``bounds``, where it has such, are the smallest and largest value.
    loss : loss
        One that takes positive outputs only is advised none that may be negative.
    """
    lowest, highest = bounds_of(output_activation)
    if (lowest, highest) == (-math.inf, math.inf):
        return
    least, most = backend.to_numpy(compiled(backend, _bounds)(target)).tolist()
    if least < lowest or most > highest:
        wider = "'exp' or 'softplus'" if getattr(loss, "takes_positive", False) else "'identity'"
        warnings.warn(
            f"the targets are numbers from {least:g} to {most:g}, and the output layer's {type(output_activation).__name__} "
            f"gives none but those from {lowest:g} to {highest:g}: make the network with output_activation={wider}, or "
            "scale the targets.",
            stacklevel=4,  # the line that called fit
        )


def _finite_sum(array: Array) -> Array:
    xp = namespace(array)
    return xp.isfinite(xp.sum(array))


def _all_finite(array: Array) -> Array:
    xp = namespace(array)
    return xp.all(xp.isfinite(array))


def _scaled_to_mean_one(array: Array) -> Array:
    xp = namespace(array)
    array = array / xp.max(array)
    return array / xp.mean(array)


def _bounds(array: Array) -> Array:
    xp = namespace(array)
    return xp.stack([xp.min(array), xp.max(array)])
