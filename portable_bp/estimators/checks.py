"""Check the arguments of fit, predict and score, before anything changes.

scikit-learn checks data on the host: lists, NumPy arrays, data frames, sparse matrices. Arrays of other libraries are checked
here, on their devices, whether scikit-learn's array_api_dispatch is on or off.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from sklearn.base import is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, backend_of, select_backend
from portable_bp.backends.host import refuse_masked
from portable_bp.checks import as_array, refuse_nonfinite
from portable_bp.estimators.devices import backend_for, follow_samples, is_host, on_same_device, to_host
from portable_bp.estimators.parameters import Parameters
from portable_bp.estimators.sample_weights import check_sample_weight
from portable_bp.estimators.samples import DeviceSamples, Samples, stream_samples

SPARSE = ["csr", "csc"]


class CheckedData(NamedTuple):
    """Checked data to fit to, and the backend to fit on.

    X is a NumPy array or sparse matrix of floating-point numbers, or an array on the backend. y is on the host or on the
    backend, of shape (samples,), or (samples, outputs) with more than one output.
    """

    X: Any
    y: Any
    backend: Backend


def check_fit(model: Parameters, x: Any, y: Any, reset: bool) -> CheckedData:
    """Check samples and targets; the features' number and names are set on the model, or compared with it unless reset."""
    refuse_masked(x, "X")
    refuse_masked(y, "y")
    checked = (_check_on_host if is_host(x) else _check_on_device)(model, x, y, reset)
    x, y, backend = checked
    if not is_host(y) and y.ndim not in (1, 2):
        raise ValueError(f"y has shape {tuple(y.shape)}: give one target per sample, or one row of targets per sample.")
    if y.shape[0] != x.shape[0]:
        raise ValueError(f"X has {x.shape[0]} samples, but y has {y.shape[0]}: give a target for each sample.")
    if is_regressor(model) and scipy.sparse.issparse(y):
        raise TypeError("y is a sparse matrix, but a regressor needs an array: convert it with toarray().")
    if y.ndim == 2 and y.shape[1] == 1:
        message = "A column-vector y was passed when a 1d array was expected: give y of shape (samples,)."
        warnings.warn(message, DataConversionWarning, stacklevel=8)  # the line that called fit
        y = y.toarray().ravel() if scipy.sparse.issparse(y) else y[:, 0]
    return CheckedData(x, y, backend)


def _check_on_host(model: Parameters, x: Any, y: Any, reset: bool) -> CheckedData:
    y = follow_samples(select_backend(model.backend or "numpy"), y, "y")
    options: dict[str, Any] = {"accept_sparse": SPARSE, "dtype": (np.float64, np.float32), "reset": reset}
    if is_host(y):
        x, y = validate_data(model, x, y, multi_output=True, y_numeric=is_regressor(model), **options)
    else:
        x = validate_data(model, x, **options)
    return CheckedData(x, y, backend_for(model.backend, x))


def _check_on_device(model: Parameters, x: Any, y: Any, reset: bool) -> CheckedData:
    backend = backend_for(model.backend, x)
    x = _check_samples(backend, x)
    validate_data(model, x, y, reset=reset, skip_check_array=True)
    y = follow_samples(backend, y, "y")
    if is_host(y):
        any_dtype: Any = None
        y = check_array(y, ensure_2d=False, dtype=any_dtype, input_name="y")
    return CheckedData(x, y, backend)


def _check_samples(backend: Backend, x: Any) -> Array:
    """Return samples on a device as floating-point numbers, checked as scikit-learn checks those on the host."""
    if namespace(x).isdtype(x.dtype, "complex floating"):
        raise ValueError("X holds complex numbers, which are not supported: give real ones.")
    if x.ndim != 2:
        raise ValueError(f"X has shape {tuple(x.shape)}: expected a 2D array of shape (samples, features).")
    if 0 in x.shape:
        raise ValueError(f"X has shape {tuple(x.shape)}: give at least one sample and one feature.")
    array = as_array(backend, x, "X")
    refuse_nonfinite(backend, array, "X")
    return array


def check_predict(model: Parameters, x: Any, method: str) -> Samples:
    """Check samples for a named method; they are processed on the model's device, in float64 if they or the model are."""
    backend = model._fitted_backend()
    host = is_host(x)
    own = select_backend("numpy") if host else backend_of(x)
    if not on_same_device(own, backend) and not (host and model.backend is not None):
        raise ValueError(
            f"{type(model).__name__}.{method}() got X as a {own.name} array on {own.device}, but the model was fitted with "
            f"{backend.name} on {backend.device}, and both must use the same namespace and device: move X there, or fit with "
            "the parameter backend, which moves host data."
        )
    refuse_masked(x, "X")
    if host:
        x = validate_data(model, x, accept_sparse=SPARSE, reset=False)
        is_wide = x.dtype.kind in "iu" or x.dtype.itemsize > 4
    else:
        is_wide = x.dtype == backend.xp.float64
    backend = select_backend(backend, "float64") if is_wide else backend
    if host:
        return stream_samples(backend, x)
    x = _check_samples(backend, x)
    validate_data(model, x, reset=False, skip_check_array=True)
    return DeviceSamples(x, backend)


def check_score(model: Parameters, predicted: Array, y: Any, sample_weight: Any) -> tuple[Any, Array | None]:
    """Return targets and weights to score predictions with, on the host if the predictions are there, else on the device."""
    backend = model._fitted_backend()
    refuse_masked(y, "y")
    y = follow_samples(backend, y, "y")
    weight = None if sample_weight is None else follow_samples(backend, sample_weight, "sample_weight")
    if is_host(predicted):
        numpy = select_backend("numpy", "float64")
        return to_host(y), check_sample_weight(numpy, to_host(weight), predicted.shape[0]).array
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if tuple(y.shape) != tuple(predicted.shape):
        raise ValueError(
            f"y has shape {tuple(y.shape)}, but the predictions have shape {tuple(predicted.shape)}: give one target for each."
        )
    return y, check_sample_weight(backend, weight, predicted.shape[0]).array
