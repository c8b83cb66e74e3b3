"""Compiled functions are shared by equal pieces of equal types, and by no others."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import portable_bp as bp
from portable_bp.backends import compiled

X = np.ones((3, 2))


class Near(NamedTuple):
    scale: float

    def value(self, out, target):
        return self.scale * (out * out)[..., 0]

    def slope(self, out, target):
        return out


class Far(NamedTuple):
    scale: float

    def value(self, out, target):
        return 0.0 * out[..., 0] + 200.0

    def slope(self, out, target):
        return 0.0 * out


def test_equal_pieces_of_different_types_do_not_share_a_function(on_target):
    """Named tuples compare by their fields alone."""
    assert Near(1.0) == Far(1.0)
    network = on_target.network([2, 2], seed=0)
    assert float(on_target.values(network.loss(X, X, Near(1.0)))) < 1.0
    assert float(on_target.values(network.loss(X, X, Far(1.0)))) == 200.0


@dataclass(frozen=True)
class Around:
    inner: object

    def init(self, layers):
        return ()

    def update(self, gradient, state, layers):
        return [layer._replace(weight=layer.weight * 0.0 + self.inner.value(layer.weight, None)[0]) for layer in layers], state


def test_equal_inner_pieces_of_different_types_do_not_share_a_function():
    network = bp.Network([2, 1], "identity", backend="numpy", dtype="float64")
    network.fit(X, X[:, :1], optimizer=Around(Near(0.0)))
    assert (network.layers[0].weight == 0.0).all()
    network.fit(X, X[:, :1], optimizer=Around(Far(0.0)))
    assert (network.layers[0].weight == 200.0).all()


def test_equal_pieces_share_one_function():
    backend = bp.select_backend("numpy")
    first, again = (compiled(backend, isinstance, (bp.activations.ELU(2.0), bp.activations.Tanh())) for _ in range(2))
    assert first is again
    assert compiled(backend, isinstance, (bp.activations.ELU(3.0), bp.activations.Tanh())) is not first
