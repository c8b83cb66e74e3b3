"""JAX: its autodiff, and one jit call per step or per epoch, with the old weights donated."""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import numpy as np

from scripts.benchmarking.cases import Case, CaseData
from scripts.benchmarking.contestants.contestant import Contestant, ready_batches, shuffled_rows


class Jax(Contestant):
    """JAX as its users write it."""

    name, needs = "JAX jit", "jax"
    precisions: dict[str, str] = {}  # on a CPU all products are float32

    def __init__(self, case: Case, data: CaseData) -> None:
        super().__init__(case, data)
        import jax
        import jax.numpy as jnp

        self.jax = jax
        self.compiled = _compiled(case, self.precisions.get(case.precision))
        layers = [(jnp.array(weight), jnp.array(bias)) for weight, bias in zip(data.weights, data.biases, strict=True)]
        averages = [jax.tree.map(jnp.zeros_like, layers) if case.pieces.optimizer == "adam" else () for _ in range(2)]
        self.state = (layers, *averages, jnp.zeros((), "float32"))
        self.x, self.target = jnp.asarray(data.x), jnp.asarray(data.target)
        self.ready = ready_batches(case, self.x, self.target)

    def parameters(self) -> list[np.ndarray]:
        """Return each layer's weight, then each layer's bias."""
        return [np.array(each) for kind in zip(*self.state[0], strict=True) for each in kind]

    def steps(self, count: int) -> None:
        """Train on ready batches."""
        for x, target in itertools.islice(itertools.cycle(self.ready), count):
            self.state = self.compiled.step(self.state, x, target)
        self.jax.block_until_ready(self.state)

    def epoch(self, count: int) -> None:
        """Train on batches that are gathered inside the compiled step."""
        for rows in shuffled_rows(self.case, count):
            self.state = self.compiled.gathered(self.state, self.x, self.target, rows)
        self.jax.block_until_ready(self.state)

    def asarray(self, x: np.ndarray) -> Any:
        """Return a JAX array."""
        return self.jax.numpy.asarray(x)

    def predict(self, x: Any) -> np.ndarray:
        """Run the compiled forward pass."""
        return np.asarray(self.compiled.forward(self.state[0], x))


class JaxOnGpu(Jax):
    """JAX on a GPU, where it uses TF32 unless a precision is given."""

    needs = "jax:gpu"
    precisions = {"float32": "float32", "tf32": "TF32_TF32_F32", "mixed": "BF16_BF16_F32"}


class JaxScan(Jax):
    """JAX with all steps of an epoch in one compiled call."""

    name, whole_epochs, compiles_each_length = "JAX scan", True, True

    def steps(self, count: int) -> None:
        """Train on batches that are gathered inside the compiled epoch."""
        self.state = self.compiled.scanned(self.state, self.x, self.target, shuffled_rows(self.case, count))
        self.jax.block_until_ready(self.state)

    epoch = steps


class JaxScanOnGpu(JaxScan, JaxOnGpu):
    """The same on a GPU."""


class Compiled(NamedTuple):
    """Functions that JAX compiles."""

    forward: Any  # of the layers and x
    step: Any  # of the state and a batch
    gathered: Any  # a step, of the state, all data, and the rows of a batch
    scanned: Any  # an epoch, of the state, all data, and the rows of each batch


@functools.cache  # JAX compiles the same function only once
def _compiled(case: Case, precision: str | None) -> Compiled:
    import jax

    forward, step = written_in_jax(case, precision)

    def gathered(state: Any, x: Any, target: Any, rows: Any) -> Any:
        return step(state, x[rows], target[rows])

    def scanned(state: Any, x: Any, target: Any, batches: Any) -> Any:
        return jax.lax.scan(lambda state, rows: (gathered(state, x, target, rows), None), state, batches)[0]

    return Compiled(jax.jit(forward), *(jax.jit(each, donate_argnums=0) for each in (step, gathered, scanned)))


def written_in_jax(case: Case, precision: str | None) -> tuple[Any, Any]:
    """Return forward(layers, x) and step(state, x, target), not yet compiled."""
    import jax
    import jax.numpy as jnp

    functions = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "identity": lambda net: net}
    pieces, rate = case.pieces, case.learning_rate
    kinds = [pieces.activation] * (len(case.sizes) - 2) + [pieces.output_activation]

    def forward(layers: Any, out: Any) -> Any:
        for (weight, bias), kind in zip(layers, kinds, strict=True):
            out = functions[kind](jnp.matmul(out, weight.T, precision=precision) + bias)
        return out

    def loss(layers: Any, x: Any, target: Any) -> Any:
        out = forward(layers, x)
        if pieces.loss == "cross_entropy":
            return -jnp.take_along_axis(jax.nn.log_softmax(out), target[:, None], axis=1).mean()
        return 0.5 * jnp.square(out - target).sum(-1).mean()

    def step(state: Any, x: Any, target: Any) -> Any:
        layers, first, second, count = state
        gradient = jax.grad(loss)(layers, x, target)
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

    return forward, step
