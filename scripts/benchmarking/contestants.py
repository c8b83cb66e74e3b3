"""Who takes part: portable_bp on each backend, the same network in other libraries, and the floor, its matrix products alone.

``steps(n)`` trains so many steps on batches that are ready, ``epoch(n)`` so many on batches that it shuffles and gathers for
itself, ``predict(x)`` gives the outputs; each returns when the work is done. Ours always shuffles and gathers: its ``steps`` is
its ``epoch``. ``weights()`` is what was learned.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import portable_bp as bp
from scripts.benchmarking.cases import Case, Data, ours


class Contestant:
    """One way to train the network of a case.

    Parameters
    ----------
    case : Case
        What to train.
    data : Data
        On what, and from where.
    """

    name = ""

    def __init__(self, case: Case, data: Data) -> None:
        self.case = case
        self.data = data

    def weights(self) -> list[np.ndarray]:
        """Return each layer's weight, (fan_out, fan_in)."""
        raise NotImplementedError

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        raise NotImplementedError

    epoch: Any = None
    predict: Any = None

    def place(self, x: np.ndarray) -> Any:
        """Return inputs as `predict` takes them."""
        return x

    def _batches(self) -> list[tuple[np.ndarray, np.ndarray]]:
        size = self.case.batch
        starts = range(0, min(len(self.data.x), 64 * size), size)
        return [(self.data.x[start : start + size], self.data.target[start : start + size]) for start in starts]

    def _orders(self, count: int) -> Iterator[np.ndarray]:
        order = np.random.default_rng(0).permutation(self.case.batch * count)
        return (order[start : start + self.case.batch] for start in range(0, len(order), self.case.batch))


class Ours(Contestant):
    """portable_bp on one backend."""

    backend = "numpy"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        self.network = ours(case, data, self.backend)
        target = data.target.astype("int32") if data.target.dtype.kind == "i" else data.target
        self.x, self.target = map(self._placed, (data.x, target))

    def _placed(self, array: np.ndarray) -> Any:
        return self.network.backend.asarray(array, "int32" if array.dtype.kind == "i" else None)

    def weights(self) -> list[np.ndarray]:
        """Return each layer's weight."""
        return [self.network.backend.to_numpy(layer.weight) for layer in self.network.layers]

    def steps(self, count: int) -> None:
        """Fit one epoch: checks, shuffling and gathering in."""
        pieces, samples = self.case.pieces, count * self.case.batch
        self.network.fit(
            self.x[:samples],
            self.target[:samples],
            pieces.loss,
            pieces.optimizer,
            pieces.learning_rate,
            batch_size=self.case.batch,
            seed=0,
        )
        self.network.backend.synchronize()

    epoch = steps

    def place(self, x: np.ndarray) -> Any:
        """Return inputs on the backend."""
        return self._placed(x)

    def predict(self, x: Any) -> Any:
        """Predict, checks in."""
        outputs = self.network.predict(x)
        self.network.backend.synchronize()
        return outputs


class OursNumpy(Ours):
    """portable_bp on NumPy."""

    name = "portable_bp numpy"


class OursTorch(Ours):
    """portable_bp on PyTorch."""

    name, backend = "portable_bp torch", "torch"


class OursJax(Ours):
    """portable_bp on JAX."""

    name, backend = "portable_bp jax", "jax"


class Floor(Contestant):
    """Only the matrix products of a step, by the same library and into arrays that are there already."""

    name = "floor"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        self.outs = [np.zeros((case.batch, size), "float32") for size in case.sizes]
        self.outs[0][...] = data.x[: case.batch]
        self.deltas = [np.zeros_like(out) for out in self.outs[1:]]
        self.gradients = [np.empty_like(weight) for weight in data.weights]
        self.slopes = [np.empty_like(out) for out in self.outs]

    def steps(self, count: int) -> None:
        """Multiply forward, backward, and for the gradient."""
        weights = self.data.weights
        for _ in range(count):
            for weight, below, out in zip(weights, self.outs, self.outs[1:], strict=False):
                np.matmul(below, weight.mT, out=out)
            for weight, delta, slope in list(zip(weights, self.deltas, self.slopes, strict=False))[:0:-1]:
                np.matmul(delta, weight, out=slope)
            for delta, below, gradient in zip(self.deltas, self.outs, self.gradients, strict=False):
                np.matmul(delta.mT, below, out=gradient)

    def predict(self, x: Any) -> Any:
        """Multiply forward."""
        for weight in self.data.weights:
            x = x @ weight.mT
        return x


class Torch(Contestant):
    """torch.nn, autograd and torch.optim, eager."""

    name = "PyTorch eager"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        import torch

        self.torch = torch
        pieces = case.pieces
        modules: list[Any] = []
        for number, (weight, bias) in enumerate(zip(data.weights, data.biases, strict=True), start=1):
            linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
            with torch.no_grad():
                linear.weight.copy_(torch.tensor(weight))
                linear.bias.copy_(torch.tensor(bias))
            kind = pieces.activation if number < len(data.weights) else pieces.output_activation
            modules += [linear, *{"sigmoid": [torch.nn.Sigmoid()], "relu": [torch.nn.ReLU()]}.get(kind, [])]
        self.module: Any = torch.nn.Sequential(*modules)
        optimizers = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
        self.optimizer = optimizers[pieces.optimizer](self.module.parameters(), lr=pieces.learning_rate)
        self.x, self.target = torch.tensor(data.x), torch.tensor(data.target)
        self.ready = [(torch.tensor(x), torch.tensor(target)) for x, target in self._batches()]
        self.measure = self._measure

    def _measure(self, x: Any, target: Any) -> Any:
        out = self.module(x)
        if self.case.pieces.loss == "cross_entropy":
            return self.torch.nn.functional.cross_entropy(out, target)
        return 0.5 * (out - target).square().sum(-1).mean()

    def _step(self, x: Any, target: Any) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.measure(x, target).backward()
        self.optimizer.step()

    def weights(self) -> list[np.ndarray]:
        """Return each layer's weight."""
        return [module.weight.detach().numpy().copy() for module in self.module if hasattr(module, "weight")]

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        for x, target in itertools.islice(itertools.cycle(self.ready), count):
            self._step(x, target)

    def epoch(self, count: int) -> None:
        """Train on batches that are shuffled and gathered."""
        order = self.torch.randperm(count * self.case.batch)
        for rows in order.split(self.case.batch):
            self._step(self.x[rows], self.target[rows])

    def place(self, x: np.ndarray) -> Any:
        """Return a tensor."""
        return self.torch.tensor(x)

    def predict(self, x: Any) -> Any:
        """Run the module alone."""
        with self.torch.inference_mode():
            return self.module(x)


class TorchCompiled(Torch):
    """The same, the way to the loss and back compiled by torch.compile."""

    name = "torch.compile"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        self.measure = self.torch.compile(self._measure)

    epoch: Any = None
    predict: Any = None


class Jax(Contestant):
    """JAX's autodiff, one jit call a step, the old weights donated."""

    name = "JAX jit"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        import jax
        import jax.numpy as jnp

        self.jax = jax
        pieces = case.pieces
        functions = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "identity": lambda net: net}
        kinds = [pieces.activation] * (len(data.weights) - 1) + [pieces.output_activation]

        def forward(layers: Any, out: Any) -> Any:
            for (weight, bias), kind in zip(layers, kinds, strict=True):
                out = functions[kind](out @ weight.T + bias)
            return out

        def measure(layers: Any, x: Any, target: Any) -> Any:
            out = forward(layers, x)
            if pieces.loss == "cross_entropy":
                return -jnp.take_along_axis(jax.nn.log_softmax(out), target[:, None], axis=1).mean()
            return 0.5 * jnp.square(out - target).sum(-1).mean()

        def step(state: Any, x: Any, target: Any) -> Any:
            layers, first, second, count = state
            gradient = jax.grad(measure)(layers, x, target)
            rate = pieces.learning_rate
            if pieces.optimizer == "sgd":
                return jax.tree.map(lambda parameter, slope: parameter - rate * slope, layers, gradient), first, second, count
            count = count + 1
            first = jax.tree.map(lambda old, slope: 0.9 * old + 0.1 * slope, first, gradient)
            second = jax.tree.map(lambda old, slope: 0.999 * old + 0.001 * slope * slope, second, gradient)
            layers = jax.tree.map(
                lambda parameter, mean, square: (
                    parameter - rate * (mean / (1 - 0.9**count)) / (jnp.sqrt(square / (1 - 0.999**count)) + 1e-8)
                ),
                layers,
                first,
                second,
            )
            return layers, first, second, count

        def gathered(state: Any, x: Any, target: Any, rows: Any) -> Any:
            return step(state, x[rows], target[rows])

        self.forward = jax.jit(forward)
        self.step = functools.partial(jax.jit, donate_argnums=0)(step)
        self.gathered = functools.partial(jax.jit, donate_argnums=0)(gathered)
        layers = [(jnp.array(weight), jnp.array(bias)) for weight, bias in zip(data.weights, data.biases, strict=True)]
        zeros = [jax.tree.map(jnp.zeros_like, layers) if pieces.optimizer == "adam" else () for _ in range(2)]
        self.state = (layers, *zeros, jnp.zeros((), "float32"))
        self.x, self.target = jnp.asarray(data.x), jnp.asarray(data.target.astype("int32") if self._classes else data.target)
        self.ready = [(jnp.asarray(x), jnp.asarray(target)) for x, target in self._batches()]

    @property
    def _classes(self) -> bool:
        return self.case.pieces.loss == "cross_entropy"

    def weights(self) -> list[np.ndarray]:
        """Return each layer's weight."""
        return [np.array(weight) for weight, _ in self.state[0]]

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        for x, target in itertools.islice(itertools.cycle(self.ready), count):
            self.state = self.step(self.state, x, target)
        self.jax.block_until_ready(self.state)

    def epoch(self, count: int) -> None:
        """Train on batches that are gathered inside the compiled step."""
        for rows in self._orders(count):
            self.state = self.gathered(self.state, self.x, self.target, rows)
        self.jax.block_until_ready(self.state)

    def place(self, x: np.ndarray) -> Any:
        """Return a JAX array."""
        return self.jax.numpy.asarray(x)

    def predict(self, x: Any) -> Any:
        """Run the compiled forward pass."""
        return self.jax.block_until_ready(self.forward(self.state[0], x))


class ScikitLearn(Contestant):
    """scikit-learn's MLP by partial_fit. Its regressor's outputs have no activation, so it does less in the SGD cases."""

    name = "scikit-learn"

    def __init__(self, case: Case, data: Data) -> None:
        super().__init__(case, data)
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        pieces = case.pieces
        if pieces.loss == "cross_entropy" and case.sizes[-1] == 2:
            raise TypeError("for two classes it has one output, and so another network")
        kind: Any = MLPClassifier if pieces.loss == "cross_entropy" else MLPRegressor
        self.model = kind(
            hidden_layer_sizes=case.sizes[1:-1],
            activation={"sigmoid": "logistic"}.get(pieces.activation, pieces.activation),
            solver=pieces.optimizer,
            alpha=0.0,
            batch_size=case.batch,
            learning_rate_init=pieces.learning_rate,
            momentum=0.0,
            nesterovs_momentum=False,
            shuffle=False,
        )
        self.ready = self._batches()
        self.options = {"classes": np.arange(case.sizes[-1])} if pieces.loss == "cross_entropy" else {}
        self.model.partial_fit(*self.ready[0], **self.options)
        for mine, given in zip(self.model.coefs_, data.weights, strict=True):
            mine[...] = given.T
        for mine, given in zip(self.model.intercepts_, data.biases, strict=True):
            mine[...] = given
        del self.model._optimizer  # so that Adam begins anew too

    def weights(self) -> list[np.ndarray]:
        """Return each layer's weight."""
        return [weight.T.copy() for weight in self.model.coefs_]

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        for x, target in itertools.islice(itertools.cycle(self.ready), count):
            self.model.partial_fit(x, target)

    def epoch(self, count: int) -> None:
        """Train on batches that are gathered."""
        for rows in self._orders(count):
            self.model.partial_fit(self.data.x[rows], self.data.target[rows])

    def predict(self, x: Any) -> Any:
        """Predict probabilities or numbers."""
        return self.model.predict_proba(x) if hasattr(self.model, "classes_") else self.model.predict(x)


EVERYONE: tuple[type[Contestant], ...] = (OursNumpy, OursTorch, OursJax, Floor, Torch, TorchCompiled, Jax, ScikitLearn)
NEEDS = {OursTorch: "torch", Torch: "torch", TorchCompiled: "torch", OursJax: "jax", Jax: "jax", ScikitLearn: "sklearn"}


def installed() -> list[type[Contestant]]:
    """Return the contestants whose libraries are here."""
    return [one for one in EVERYONE if one not in NEEDS or importlib.util.find_spec(NEEDS[one]) is not None]


def check(contestant: Contestant) -> float:
    """Return how far a contestant's first step is from the same in float64, relative to the step's length.

    Parameters
    ----------
    contestant : Contestant
        One that has not trained yet.

    Raises
    ------
    ValueError
        If it is so far that it does something else.
    """
    case, data = contestant.case, contestant.data
    if isinstance(contestant, ScikitLearn) and case.pieces.loss == "squared_error":
        reference = bp.Network.from_weights(data.weights, data.biases, "sigmoid", "identity", backend="numpy", dtype="float64")
    else:
        reference = ours(case, data, "numpy", "float64")
    begun = [layer.weight for layer in reference.layers]
    rows = slice(0, case.batch)
    pieces = case.pieces
    reference.fit(data.x[rows].astype("float64"), data.target[rows], pieces.loss, pieces.optimizer, pieces.learning_rate)
    contestant.steps(1)
    pairs = list(zip(contestant.weights(), reference.layers, begun, strict=True))
    missed = sum(float(np.square(mine - theirs.weight).sum()) for mine, theirs, _ in pairs)
    moved = sum(float(np.square(theirs.weight - before).sum()) for _, theirs, before in pairs)
    distance = (missed / moved) ** 0.5
    # Adam's first step is nearly a slope's sign: where a slope is close to zero, float32 and where epsilon is added both show.
    if not distance < (0.05 if pieces.optimizer == "adam" else 0.001):
        raise ValueError(f"{contestant.name} is {distance:.1%} away from float64 in its first step of {case.name}.")
    return distance
