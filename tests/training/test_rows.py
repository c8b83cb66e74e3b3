"""Training on samples that are generated on demand equals training on all of them in memory."""

import numpy as np
import pytest

from portable_bp.backends import Rows, rows

X = np.random.default_rng(0).normal(size=(30, 4))
Y = np.sin(X[:, :2])
V = np.random.default_rng(1).normal(size=(13, 4))


def on_demand(x):
    return Rows(x.shape, lambda numbers: x[numbers])


@pytest.mark.parametrize(("batch_size", "weighted"), [(None, False), (8, True)])
def test_rows_on_demand_train_the_same_network(on_target, monkeypatch, batch_size, weighted):
    monkeypatch.setattr(rows, "CHUNK_SIZE", 5 * 4)  # validation data come five samples at a time
    fitted = []
    weight = (np.arange(13) % 3,) if weighted else ()
    for make in (np.asarray, on_demand):
        network = on_target.network([4, 6, 2], "tanh", "identity", seed=0)
        validation = (make(V), np.sin(V[:, :2]), *weight)
        network.fit(
            make(X), Y, optimizer="adam", epochs=3, batch_size=batch_size, validation_data=validation, dropout=0.2, seed=1
        )
        fitted.append(network)
    all_at_once, parts = fitted
    for one, other in zip(parts.layers, all_at_once.layers, strict=True):
        on_target.assert_close(one.weight, on_target.values(other.weight), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(parts.history.loss, all_at_once.history.loss, rtol=1e-11)
    np.testing.assert_allclose(parts.history.validation_loss, all_at_once.history.validation_loss, rtol=1e-11)


def test_rows_of_the_wrong_shape_are_refused(on_target):
    network = on_target.network([3, 2])
    with pytest.raises(ValueError, match=r"x has shape \(30, 4\), and this network has 3 inputs"):
        network.fit(on_demand(X), Y)
    with pytest.raises(ValueError, match="target has shape"):
        on_target.network([4, 2]).fit(on_demand(X), Y[:7])
