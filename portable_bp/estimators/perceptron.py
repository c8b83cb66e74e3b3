"""What MLPClassifier and MLPRegressor share: fitting, and passing samples through the network."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.arrays import Array, Layer, map_parameters, sizes_of
from portable_bp.algorithm.dropout import check_rates
from portable_bp.backends import Backend, carried, compiled
from portable_bp.checks import as_array
from portable_bp.estimators.checks import CheckedData, check_fit, check_predict
from portable_bp.estimators.devices import require_same_device
from portable_bp.estimators.drawing import continue_masks, draw_layers, split_examples
from portable_bp.estimators.hooks import Hooks
from portable_bp.estimators.lbfgs import fit_lbfgs
from portable_bp.estimators.monitor import Records, is_finite
from portable_bp.estimators.optimization import Optimization
from portable_bp.estimators.outputs import OUTPUTS, compute_output
from portable_bp.estimators.parameters import FitArguments, Parameters, fitted_attributes
from portable_bp.estimators.problem import LbfgsSettings, Problem, Solution, StochasticSettings, Validation
from portable_bp.estimators.sample_weights import SampleWeights, check_sample_weight, scale_alpha
from portable_bp.estimators.samples import Examples, Samples, hold_samples
from portable_bp.estimators.stochastic import Start, fit_stochastic
from portable_bp.training.callbacks import check_callbacks

# Examples to learn from, and those of X_val or None.
TakenExamples: TypeAlias = tuple[Examples, Examples | None]


class Drawn(NamedTuple):
    """What is drawn at random before training starts, or resumed, and the generators that go on drawing."""

    random_state: np.random.RandomState
    mask_generator: np.random.Generator | None
    layers: list[Layer]
    examples: Examples
    held_out: Examples | None


class Perceptron(Parameters, ABC):
    """A dense network with scikit-learn's parameters, methods and attributes."""

    # The attributes that depend on the data alone.
    _data_attributes = ("n_features_in_", "feature_names_in_", "classes_", "_kind", "_sparse_labels", "n_outputs_")

    n_features_in_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str

    _random_state: np.random.RandomState
    _mask_generator: np.random.Generator | None = None
    _optimizer: Optimization | None = None

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        parameters = self._get_param_names()
        return {name: value if name in parameters else carried(value) for name, value in state.items()}

    def __copy__(self) -> Any:
        """Return a model that shares everything: its arrays stay where they are."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    # What differs between classification and regression.

    def _learn_classes(self, data: CheckedData, classes: Any, known: bool) -> None:
        """Find the classes of the targets, or compare them with those of a known model; regressors have none."""

    @abstractmethod
    def _encode_target(self, backend: Backend, y: Any) -> tuple[Array, int]:
        """Return checked targets as the network is trained on, on the backend, and the number of outputs."""

    @abstractmethod
    def _name_output(self) -> str:
        """Return scikit-learn's name of the output activation."""

    @abstractmethod
    def _score(self, backend: Backend, values: Array, target: Array, sample_weight: Array | None) -> float:
        """Return the score of the network's probabilities or predictions."""

    def _strata(self, examples: Examples) -> np.ndarray | None:
        """Return the groups whose proportions a split keeps, or None."""
        return None

    def _weigh_classes(self, examples: Examples) -> Examples:
        """Return examples whose weights are multiplied by those of their classes."""
        return examples

    # Fitting.

    def _fit(self, given: FitArguments) -> Any:
        _, solution = self._solve(given)
        if solution.warning is not None:
            warnings.warn(solution.warning, ConvergenceWarning, stacklevel=4)  # the line that called fit
        return self

    def _solve(self, given: FitArguments) -> tuple[Problem, Solution]:
        """Fit the model, and return the problem and its solution."""
        hidden = self._check_parameters(given)
        hooks = Hooks(self, given) if getattr(self, "_skl_callbacks", None) else None
        with restored_on_error(self):
            problem = self._prepare(given, hidden)
            start = None if self.solver == "lbfgs" else self._start(given, problem)
            callbacks = list(problem.callbacks)
            if start is not None:
                callbacks.insert(0, lambda training: vars(self).update(vars(start.records)))
            if hooks is not None:
                callbacks.append(hooks)
                hooks.begin_epoch(problem.layers)
            problem = problem._replace(callbacks=callbacks)
            if start is None:
                solution = fit_lbfgs(self._settings(LbfgsSettings), problem)
            else:
                solution = fit_stochastic(self._settings(StochasticSettings), problem, start)
            self._store(problem.examples.samples.backend, solution)
            if hooks is not None:
                hooks.end()
        return problem, solution

    def _continues(self, given: FitArguments) -> bool:
        """Return whether a call of fit continues from the weights of an earlier one."""
        return hasattr(self, "coefs_") and (self.warm_start or given.incremental)

    def _prepare(self, given: FitArguments, hidden: list[int]) -> Problem:
        """Check and move the data, draw what is random, and return what is to be solved."""
        taken = self._take_examples(given, self._continues(given))
        return self._begin(given, self._draw(given, hidden, taken))

    def _draw(self, given: FitArguments, hidden: list[int], taken: TakenExamples) -> Drawn:
        """Draw or resume the weights, and hold out validation data."""
        examples, held_out = taken
        backend, known = examples.samples.backend, self._continues(given)
        random_state, rates = check_random_state(self.random_state), check_rates(self.dropout, len(hidden))
        mask_generator = continue_masks(self._mask_generator if known else None, random_state, rates)
        sizes = [self.n_features_in_, *hidden, self.n_outputs_]
        layers = self._known_layers(backend, sizes) if known else draw_layers(backend, random_state, sizes, self.activation)
        if self._stops_early and held_out is None:
            strata = self._strata(examples)
            examples, held_out = split_examples(examples, random_state, self.validation_fraction, strata)
        return Drawn(random_state, mask_generator, layers, examples, held_out)

    def _begin(self, given: FitArguments, drawn: Drawn) -> Problem:
        """Return what is to be solved, and set the attributes of a fit that begins."""
        if not self._continues(given):
            self._reset(len(drawn.layers))
        self._random_state, self._mask_generator = drawn.random_state, drawn.mask_generator
        activations, output = self._activations(len(drawn.layers)), OUTPUTS[self.out_activation_]
        rates, callbacks = check_rates(self.dropout, len(drawn.layers) - 1), check_callbacks(self.callbacks)
        validation = None
        if drawn.held_out is not None:
            validation = Validation(activations, output, drawn.held_out, self._score, with_loss=bool(callbacks))
        examples = self._weigh_classes(drawn.examples)
        alpha = scale_alpha(examples.samples.backend, float(self.alpha), examples.sample_weight)
        return Problem(activations, output.loss, alpha, drawn.layers, examples, rates, callbacks, validation)

    def _take_examples(self, given: FitArguments, known: bool) -> TakenExamples:
        """Return the examples to learn from and those of X_val, checked and on the backend."""
        data = check_fit(self, given.X, given.y, reset=not known)
        if known:
            data = data._replace(backend=self._known_backend(data.backend))
        backend = data.backend
        self._learn_classes(data, given.classes, known)
        target, self.n_outputs_ = self._encode_target(backend, data.y)
        weight = check_sample_weight(backend, given.sample_weight, data.X.shape[0])
        examples = Examples(hold_samples(backend, data.X), target, weight)
        return examples, None if given.X_val is None else self._check_validation(backend, given.X_val, given.y_val)

    def _check_validation(self, backend: Backend, X_val: Any, y_val: Any) -> Examples:
        try:
            data = check_fit(self, X_val, y_val, reset=False)
            require_same_device(data.backend, backend, "X", "give X and X_val on the same device")
            target, outputs = self._encode_target(backend, data.y)
            if outputs != self.n_outputs_:
                raise ValueError(f"y has {outputs} outputs, but the network has {self.n_outputs_}: give a column for each.")
        except (ValueError, TypeError) as error:
            raise type(error)(f"X_val and y_val do not fit: {error}") from None
        return Examples(hold_samples(backend, data.X), target, SampleWeights())

    def _known_backend(self, backend: Backend) -> Backend:
        """Return the backend of an earlier fit, after checking that the data are on its device."""
        own = self._fitted_backend()
        require_same_device(backend, own, "X", "move X to where the model was fitted, or fit with warm_start=False")
        return own

    def _known_layers(self, backend: Backend, sizes: list[int]) -> list[Layer]:
        """Return the layers of an earlier fit, after checking that they have these sizes."""
        layers = self._layers()
        found = list(sizes_of(layers))
        if found != sizes or self.out_activation_ != self._name_output():
            raise ValueError(
                f"the model was fitted with layers of sizes {found} and {self.out_activation_} outputs, but this call needs "
                f"{sizes} and {self._name_output()} outputs: a warm start and partial_fit keep them, so use fit with "
                "warm_start=False."
            )
        return map_parameters(lambda array: as_array(backend, array, "coefs_ or intercepts_"), layers)

    def _reset(self, layer_count: int) -> None:
        """Delete what was recorded with other weights, before new ones are learned."""
        for name in (*(field.name for field in dataclasses.fields(Records)), "_optimizer"):
            vars(self).pop(name, None)
        self.n_iter_ = self.t_ = self._no_improvement_count = 0
        self.n_layers_, self.out_activation_ = layer_count + 1, self._name_output()

    def _start(self, given: FitArguments, problem: Problem) -> Start:
        """Begin the records of sgd or adam, and show them as attributes, which callbacks may read."""
        records = Records.resume(vars(self), problem, self.early_stopping)
        vars(self).update(vars(records))
        optimization = self._optimizer if given.incremental else None
        return Start(given.incremental, optimization, records, self._random_state, self._mask_generator)

    def _store(self, backend: Backend, solution: Solution) -> None:
        vars(self).update(solution.attributes)
        if not is_finite(backend, solution.layers):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        vars(self).update(fitted_attributes(solution.layers))

    # Passing samples through the network.

    def _activations(self, layers: int) -> tuple[Any, ...]:
        return (ACTIVATIONS[self.activation](),) * (layers - 1) + (OUTPUTS[self.out_activation_].activation,)

    def _predict_values(self, X: Any, method: str) -> tuple[Backend, Array]:
        """Return the backend, and the network's probabilities or predictions on it, of shape (samples, outputs)."""
        check_is_fitted(self)
        samples = check_predict(self, X, method)
        return samples.backend, self._values(samples)

    def _values(self, samples: Samples) -> Array:
        """Return the network's probabilities or predictions for checked samples, of shape (samples, outputs)."""
        layers = self._layers()
        if layers[0].weight.dtype != samples.backend.dtype:
            layers = map_parameters(samples.backend.asarray, layers)
        out = compute_output(self._activations(len(layers)), layers, samples)
        return compiled(samples.backend, OUTPUTS[self.out_activation_].value)(out)

    def _measure(self, examples: Examples) -> float:
        """Return the score on checked examples."""
        samples, target, (weight, _) = examples
        return self._score(samples.backend, self._values(samples), target, weight)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags


@contextlib.contextmanager
def restored_on_error(model: Parameters) -> Iterator[None]:
    """Restore what a model had learned, but not its parameters, if the block fails."""
    parameters = set(model.get_params(deep=False))
    before = {
        name: list(value) if isinstance(value, list) and name not in parameters else value
        for name, value in vars(model).items()
    }
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(before)
        raise
