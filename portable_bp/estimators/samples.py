"""Where the samples are: on the backend that X belongs to, or that was asked for; sparse ones stay on the host.

scikit-learn checks what comes from the host: lists, NumPy arrays, data frames, sparse matrices. Arrays of other libraries are
checked here, where they are, whether scikit-learn's array_api_dispatch is on or off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import warnings

import array_api_compat
import numpy as np
import scipy.sparse
import sklearn
from sklearn.base import is_regressor
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from portable_bp.algorithm.arrays import Array, namespace
from portable_bp.backends import Backend, backend_of, select_backend
from portable_bp.inputs import as_array, refuse_nonfinite

MOST_DENSE = 2**23  # numbers of a sparse matrix are made dense at once: 64 MiB


def is_host(data: Any) -> bool:
    """Return whether data come from the host: NumPy arrays, and all that is no array of a library.

    Parameters
    ----------
    data : object
        What was given.
    """
    return array_api_compat.is_numpy_array(data) or not array_api_compat.is_array_api_obj(data)


def to_host(data: Any) -> Any:
    """Return an array of any backend as NumPy's, and host data as they are.

    Parameters
    ----------
    data : object
        Arrays may be of any dtype.
    """
    return data if is_host(data) else backend_of(data, "float32").to_numpy(data)


def place_for(flag: Any, x: Any) -> Backend:
    """Return the backend to fit on.

    Parameters
    ----------
    flag : str, Backend or None
        What was asked for; None follows x.
    x : array or sparse matrix
        The samples; those of the host have been checked.

    Raises
    ------
    TypeError
        If x is an array of no known library.
    """
    if is_host(x):
        return select_backend("numpy" if flag is None else flag, x.dtype)
    xp = array_api_compat.array_namespace(x)
    device = array_api_compat.device(x)
    dtype = x.dtype
    if dtype not in (xp.float32, xp.float64):
        dtype = xp.__array_namespace_info__().default_dtypes(device=device)["real floating"]
    return backend_of(x, dtype) if flag is None else select_backend(flag, dtype)


def same_place(backend: Backend, other: Backend) -> bool:
    """Return whether two backends are the same library on the same device.

    Parameters
    ----------
    backend, other : Backend
        Of any dtypes.
    """
    return (backend.name, backend.device) == (other.name, other.device)


def bring(backend: Backend, data: Any, name: str) -> Any:
    """Return what belongs to the samples: as it is, or on the host where scikit-learn lets everything follow X.

    Parameters
    ----------
    backend : Backend
        Where the samples are.
    data : list or array
        Targets or weights.
    name : str
        What the message calls them.

    Raises
    ------
    TypeError
        If it is an array of another library or device, and array_api_dispatch is off.
    """
    if is_host(data):
        return data
    own = backend_of(data, "float32")
    if same_place(own, backend):
        return data
    if sklearn.get_config()["array_api_dispatch"]:
        return own.to_numpy(data)
    raise TypeError(
        f"{name} is a {own.name} array on {own.device}, and X is used with {backend.name} on {backend.device}: move {name} "
        "there, or turn on scikit-learn's array_api_dispatch, with which everything follows X."
    )


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
            y = check_array(y, ensure_2d=False, accept_sparse="csr", dtype=None, input_name="y")
    if not is_host(y) and y.ndim not in (1, 2):
        raise ValueError(f"y has shape {tuple(y.shape)}: give one target a sample, or a row of them.")
    if y.shape[0] != x.shape[0]:
        raise ValueError(f"X has {x.shape[0]} samples and y has {y.shape[0]}: give a target for each sample.")
    if y.ndim == 2 and y.shape[1] == 1:
        message = "A column-vector y was passed when a 1d array was expected: give y of shape (samples,)."
        warnings.warn(message, DataConversionWarning, stacklevel=2)
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


@dataclass(frozen=True)
class Dense:
    """Samples on the device.

    Parameters
    ----------
    inputs : array, shape (samples, features)
        All of them.
    backend : Backend
        Where they are.
    """

    inputs: Array
    backend: Backend

    rows = None

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.inputs.shape[0]

    def take(self, numbers: np.ndarray) -> Dense:
        """Return some of the samples, by their numbers."""
        return Dense(take_rows(self.backend, self.inputs, numbers), self.backend)

    def spans(self) -> list[slice]:
        """Return the parts that are used one at a time: here one."""
        return [slice(0, self.count)]

    def dense(self, span: slice) -> Array:
        """Return the samples of a part on the device."""
        return self.inputs


@dataclass(frozen=True)
class Sparse:
    """Samples in a sparse matrix on the host: some of its rows at a time are made dense on the device.

    Parameters
    ----------
    matrix : scipy.sparse.csr_matrix or csr_array, shape (samples, features)
        All of them.
    backend : Backend
        Where they are used.
    """

    matrix: Any
    backend: Backend

    inputs = None

    @property
    def count(self) -> int:
        """How many samples there are."""
        return self.matrix.shape[0]

    @property
    def rows(self) -> Callable[[np.ndarray], Array]:
        """Gives samples on the device, by numbers of any shape."""
        return lambda numbers: self.backend.asarray(
            self.matrix[numbers.reshape(-1)].toarray().reshape(*numbers.shape, self.matrix.shape[1])
        )

    def take(self, numbers: np.ndarray) -> Sparse:
        """Return some of the samples, by their numbers."""
        return Sparse(self.matrix[numbers], self.backend)

    def spans(self) -> list[slice]:
        """Return the parts that are used one at a time."""
        height = max(1, MOST_DENSE // self.matrix.shape[1])
        return [slice(start, min(start + height, self.count)) for start in range(0, self.count, height)]

    def dense(self, span: slice) -> Array:
        """Return the samples of a part on the device."""
        return self.backend.asarray(self.matrix[span].toarray())


def hold(backend: Backend, x: Any) -> Dense | Sparse:
    """Return checked samples where they are used.

    Parameters
    ----------
    backend : Backend
        Where they are used.
    x : array or sparse matrix, shape (samples, features)
        The samples.
    """
    if scipy.sparse.issparse(x):
        return Sparse(x.tocsr(), backend)
    return Dense(as_array(backend, x, "X"), backend)


def take_rows(backend: Backend, array: Array, numbers: np.ndarray) -> Array:
    """Return rows of an array, by their numbers.

    Parameters
    ----------
    backend : Backend
        Where it is.
    array : array
        What to take from.
    numbers : numpy.ndarray of int
        Which rows.
    """
    return namespace(array).take(array, backend.asarray(numbers, "int32"), axis=0)


class Examples(NamedTuple):
    """Samples with what belongs to them.

    Attributes
    ----------
    samples : Dense or Sparse
        What goes in.
    target : array, shape (samples, outputs), or (samples,) of integer classes
        What should come out.
    sample_weight : array, shape (samples,), or None
        What each sample counts for.
    """

    samples: Dense | Sparse
    target: Array
    sample_weight: Array | None

    def take(self, numbers: np.ndarray) -> Examples:
        """Return some of the examples, by their numbers."""
        backend = self.samples.backend
        weight = self.sample_weight
        return Examples(
            self.samples.take(numbers),
            take_rows(backend, self.target, numbers),
            None if weight is None else take_rows(backend, weight, numbers),
        )
