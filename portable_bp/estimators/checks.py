"""What `fit` and `predict` are given, checked before anything changes.

scikit-learn checks what comes from the host: lists, NumPy arrays, data frames, sparse matrices. Arrays of other libraries are
checked here, where they are, whether scikit-learn's array_api_dispatch is on or off.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, backend_of, select_backend
from portable_bp.estimators.places import bring, is_host, place_for, same_place
from portable_bp.estimators.samples import Dense, Sparse, hold
from portable_bp.inputs import as_array, refuse_nonfinite


def check_fit(model: Any, x: Any, y: Any, reset: bool) -> tuple[Any, Any, Backend]:
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
    host = is_host(x)
    backend = select_backend(model.backend or "numpy") if host else place_for(model.backend, x)
    x = x if host else check_device_array(backend, x)
    y = bring(backend, y, "y")
    if host:
        options: dict[str, Any] = {"accept_sparse": ["csr", "csc"], "dtype": (np.float64, np.float32)}
        if is_host(y):
            options |= {"multi_output": True, "y_numeric": is_regressor(model)}
            x, y = validate_data(model, x, y, reset=reset, **options)
        else:
            x = validate_data(model, x, reset=reset, **options)
        backend = place_for(model.backend, x)
    else:
        validate_data(model, x, y, reset=reset, skip_check_array=True)
        if is_host(y):
            as_it_is: dict[str, Any] = {"accept_sparse": "csr", "dtype": None}
            y = check_array(y, ensure_2d=False, input_name="y", **as_it_is)
    if not is_host(y) and y.ndim not in (1, 2):
        raise ValueError(f"y has shape {tuple(y.shape)}: give one target a sample, or a row of them.")
    if y.shape[0] != x.shape[0]:
        raise ValueError(f"X has {x.shape[0]} samples and y has {y.shape[0]}: give a target for each sample.")
    if y.ndim == 2 and y.shape[1] == 1:
        message = "A column-vector y was passed when a 1d array was expected: give y of shape (samples,)."
        warnings.warn(message, DataConversionWarning, stacklevel=5)
        y = y.toarray().ravel() if scipy.sparse.issparse(y) else y[:, 0]
    return x, y, backend


def check_weight(backend: Backend, sample_weight: Any, x: Any) -> Array | None:
    """Return sample weights on the backend, or None.

    Parameters
    ----------
    backend : Backend
        Where they go.
    sample_weight : list or array, shape (samples,), or number, or None
        What each sample counts for.
    x : array, shape (samples, features)
        The samples.

    Raises
    ------
    ValueError, TypeError
        If they do not fit.
    """
    if sample_weight is None:
        return None
    weight = bring(backend, sample_weight, "sample_weight")
    if is_host(weight):
        samples = np.broadcast_to(0.0, (x.shape[0], 1))
        weight = _check_sample_weight(weight, samples, dtype=(np.float64, np.float32))
    weight = as_array(backend, weight, "sample_weight")
    if tuple(weight.shape) != (x.shape[0],):
        raise ValueError(f"sample_weight has shape {tuple(weight.shape)}: give one of shape ({x.shape[0]},).")
    refuse_nonfinite(backend, weight, "sample_weight", remedy="")
    return weight


def check_predict(model: Any, x: Any, method: str) -> Dense | Sparse:
    """Return samples to predict for, checked, where the model is.

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
    """
    backend = backend_of(model.coefs_[0])
    host = is_host(x)
    other = select_backend("numpy") if host else backend_of(x, "float32")
    if not same_place(backend, other) and not (host and model.backend is not None):
        raise ValueError(
            f"X of {type(model).__name__}.{method}() is a {other.name} array on {other.device}, and the model was fitted with "
            f"{backend.name} on {backend.device}: both must use the same namespace and device, so move X there, or fit with "
            "backend=..., to which host data are moved."
        )
    if host:
        return hold(backend, validate_data(model, x, accept_sparse=["csr", "csc"], reset=False))
    x = check_device_array(backend, x)
    validate_data(model, x, reset=False, skip_check_array=True)
    return Dense(x, backend)


def check_device_array(backend: Backend, x: Any, name: str = "X") -> Array:
    """Return samples on a device as floating-point numbers, checked as scikit-learn checks those on the host.

    Parameters
    ----------
    backend : Backend
        Where they are.
    x : array, shape (samples, features)
        What was given.
    name : str
        What the message calls it.

    Raises
    ------
    ValueError
        If the shape is wrong, or a number is complex or not finite.
    TypeError
        If it is on another device, or of another library.
    """
    if namespace(x).isdtype(x.dtype, "complex floating"):
        raise ValueError(f"{name} holds complex numbers, which are not supported: give real ones.")
    if x.ndim != 2:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: expected a 2D array of shape (samples, features).")
    if 0 in x.shape:
        raise ValueError(f"{name} has shape {tuple(x.shape)}: at least one sample and one feature are needed.")
    array = as_array(backend, x, name)
    refuse_nonfinite(backend, array, name, remedy="")
    return array
