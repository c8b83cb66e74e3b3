"""What `fit` and `predict` are given, checked before anything changes.

scikit-learn checks what comes from the host: lists, NumPy arrays, data frames, sparse matrices. Arrays of other libraries are
checked here, where they are, whether scikit-learn's array_api_dispatch is on or off.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, backend_of, select_backend
from portable_bp.backends.host import refuse_masked
from portable_bp.checks import as_array, refuse_nonfinite
from portable_bp.estimators.places import follow_samples, is_host, place_for, same_place
from portable_bp.estimators.samples import Dense, Hosted, stream

SPARSE = ["csr", "csc"]


def check_fit(model: Any, x: Any, y: Any, reset: bool, y_numeric: bool) -> tuple[Any, Any, Backend]:
    """Return samples and targets to fit, checked, and the backend to do so on.

    Parameters
    ----------
    model : estimator
        Its ``n_features_in_`` and ``feature_names_in_`` are set or compared.
    x : array, sparse matrix, data frame or list, shape (samples, features)
        Samples.
    y : array or list, shape (samples,) or (samples, outputs)
        Targets.
    reset : bool
        Whether the features are those of a new model.
    y_numeric : bool
        Whether targets are numbers to predict.

    Returns
    -------
    x, y, backend
        x a NumPy array or sparse matrix of floating-point numbers, or an array on the backend; y an array of one dimension, or
        of two with more than one column, on the host or the backend.

    Raises
    ------
    ValueError, TypeError
        If they do not fit.
    """
    refuse_masked(x, "X")
    refuse_masked(y, "y")
    if is_host(x):
        x, y = _check_on_host(model, x, y, reset, y_numeric)
        backend = place_for(model.backend, x)
    else:
        backend = place_for(model.backend, x)
        x, y = _check_on_device(model, backend, x, y, reset)
    if not is_host(y) and y.ndim not in (1, 2):
        raise ValueError(f"y has shape {tuple(y.shape)}: give one target a sample, or a row of them.")
    if y.shape[0] != x.shape[0]:
        raise ValueError(f"X has {x.shape[0]} samples and y has {y.shape[0]}: give a target for each sample.")
    if y_numeric and scipy.sparse.issparse(y):
        raise TypeError("y is a sparse matrix, and a regressor takes an array: convert it with toarray().")
    if y.ndim == 2 and y.shape[1] == 1:
        message = "A column-vector y was passed when a 1d array was expected: give y of shape (samples,)."
        warnings.warn(message, DataConversionWarning, stacklevel=5)
        y = y.toarray().ravel() if scipy.sparse.issparse(y) else y[:, 0]
    return x, y, backend


def _check_on_host(model: Any, x: Any, y: Any, reset: bool, y_numeric: bool) -> tuple[Any, Any]:
    y = follow_samples(select_backend(model.backend or "numpy"), y, "y")
    options: dict[str, Any] = {"accept_sparse": SPARSE, "dtype": (np.float64, np.float32), "reset": reset}
    if not is_host(y):
        return validate_data(model, x, **options), y
    checked: Any = validate_data(model, x, y, multi_output=True, y_numeric=y_numeric, **options)
    return checked


def _check_on_device(model: Any, backend: Backend, x: Any, y: Any, reset: bool) -> tuple[Array, Any]:
    x = _check_samples(backend, x)
    validate_data(model, x, y, reset=reset, skip_check_array=True)
    y = follow_samples(backend, y, "y")
    if is_host(y):
        any_dtype: Any = None
        y = check_array(y, ensure_2d=False, dtype=any_dtype, input_name="y")
    return x, y


def _check_samples(backend: Backend, x: Any) -> Array:
    """Return samples on a device as floating-point numbers, checked as scikit-learn checks those on the host."""
    if namespace(x).isdtype(x.dtype, "complex floating"):
        raise ValueError("X holds complex numbers, which are not supported: give real ones.")
    if x.ndim != 2:
        raise ValueError(f"X has shape {tuple(x.shape)}: expected a 2D array of shape (samples, features).")
    if 0 in x.shape:
        raise ValueError(f"X has shape {tuple(x.shape)}: at least one sample and one feature are needed.")
    array = as_array(backend, x, "X")
    refuse_nonfinite(backend, array, "X")
    return array


def check_predict(model: Any, x: Any, method: str) -> Dense | Hosted:
    """Return samples to predict for, checked, where the model is, in float64 where they or the model are.

    Parameters
    ----------
    model : estimator
        It is fitted.
    x : array, sparse matrix, data frame or list, shape (samples, features)
        Samples.
    method : str
        What the message calls the method that takes them.

    Raises
    ------
    ValueError
        If they do not fit, or are not where the model is.
    TypeError
        If x is an array of no known library.
    """
    backend = backend_of(model.coefs_[0])
    host = is_host(x)
    own = select_backend("numpy") if host else backend_of(x)
    if not same_place(own, backend) and not (host and model.backend is not None):
        raise ValueError(
            f"X of {type(model).__name__}.{method}() is a {own.name} array on {own.device}, and the model was fitted with "
            f"{backend.name} on {backend.device}: both must use the same namespace and device, so move X there, or fit with "
            "backend=..., to which host data are moved."
        )
    refuse_masked(x, "X")
    if host:
        x = validate_data(model, x, accept_sparse=SPARSE, reset=False)
        wider = x.dtype.kind in "iu" or x.dtype.itemsize > 4
    else:
        wider = x.dtype == backend.xp.float64
    backend = select_backend(backend, "float64") if wider else backend
    if host:
        return stream(backend, x)
    x = _check_samples(backend, x)
    validate_data(model, x, reset=False, skip_check_array=True)
    return Dense(x, backend)
