"""What the outputs stand for: by the name that scikit-learn gives the output activation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from portable_bp.algorithm.activations import Exp, Identity, sigmoid, softmax
from portable_bp.algorithm.arrays import Array, Layer, namespace
from portable_bp.algorithm.losses import BinaryCrossEntropy, CrossEntropy, Poisson, SquaredError
from portable_bp.algorithm.propagation import forward
from portable_bp.backends import Backend, compiled
from portable_bp.estimators.samples import Dense, Sparse


class Output(NamedTuple):
    """An output layer's activation and loss, and what is made of its out.

    Attributes
    ----------
    activation : activation
        Of the output layer; the cross-entropies take the raw net.
    loss : loss
        What training makes small, and what is reported.
    value : callable
        Turns the layer's out into probabilities or predictions.
    """

    activation: Any
    loss: Any
    value: Callable[[Array], Array]


def choose_output(out_activation: str, backend: Backend) -> Output:
    """Return what an output activation stands for.

    Parameters
    ----------
    out_activation : {"softmax", "logistic", "identity", "exp"}
        As scikit-learn names it.
    backend : Backend
        Whose dtype says how near to zero scikit-learn lets a probability come when it reports a loss: its rounding unit.
    """
    ceiling = -math.log(float(backend.xp.finfo(backend.dtype).eps))
    return {
        "softmax": Output(Identity(), CrossEntropy(ceiling), softmax),
        "logistic": Output(Identity(), BinaryCrossEntropy(ceiling), sigmoid),
        "identity": Output(Identity(), SquaredError(), Identity().value),
        "exp": Output(Exp(), Poisson(), Identity().value),
    }[out_activation]


def outs_of(activations: tuple[Any, ...], layers: Sequence[Layer], samples: Dense | Sparse) -> Array:
    """Return the output layer's out for samples.

    Parameters
    ----------
    activations : tuple of activation
        One a layer.
    layers : sequence of Layer
        The parameters.
    samples : Dense or Sparse
        What goes in.

    Returns
    -------
    array, shape (samples, outputs)
        On the device.
    """
    run = compiled(samples.backend, _out, activations)
    outs = [run(layers, inputs) for inputs in map(samples.dense, samples.spans())]
    return outs[0] if len(outs) == 1 else namespace(outs[0]).concat(outs, axis=0)


def _out(activations: tuple[Any, ...], layers: Sequence[Layer], inputs: Array) -> Array:
    return forward(layers, activations, inputs)[-1].out
