"""What scikit-learn's two multilayer perceptrons share: their parameters, fitting, and going through the network."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.arrays import Array, Layer, map_parameters
from portable_bp.algorithm.dropout import check_rates
from portable_bp.backends import Backend, backend_of, carried, compiled, select_backend
from portable_bp.backends.host import refuse_masked
from portable_bp.checks import as_array
from portable_bp.estimators.checks import check_fit, check_predict
from portable_bp.estimators.hooks import CallbackSupportMixin, Hooks, fitted_layers
from portable_bp.estimators.lbfgs import fit_lbfgs
from portable_bp.estimators.outputs import OUTPUTS, Output, out_of
from portable_bp.estimators.places import follow_samples, is_host, refuse_elsewhere, to_host
from portable_bp.estimators.problem import Problem, Validation
from portable_bp.estimators.sample_weights import SampleWeights, check_sample_weight, refuse_weightless, scale_alpha
from portable_bp.estimators.samples import Examples, hold
from portable_bp.estimators.stochastic import fit_stochastic
from portable_bp.estimators.stopping import Optimization, is_finite
from portable_bp.training.callbacks import check_callbacks


class Perceptron(CallbackSupportMixin, BaseEstimator, ABC):
    """A dense network with scikit-learn's parameters, methods and attributes.

    The classes that follow say what the parameters are.
    """

    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    batch_size: Any
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: Any
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: Any
    max_fun: int
    backend: Any
    dropout: Any
    callbacks: Any
    coefs_: list[Array]
    intercepts_: list[Array]

    _optimizer: Optimization | None = None
    _mask_generator: np.random.Generator | None = None

    _parameter_constraints: dict = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "backend": [str, None, HasMethods(["asarray", "to_numpy", "compile"])],
        "dropout": ["array-like", Interval(Real, 0, 1, closed="left")],
        "callbacks": ["array-like"],
    }

    def _keep_parameters(self, given: dict[str, Any]) -> None:
        for name in self._get_param_names():
            setattr(self, name, given[name])

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        parameters = self._get_param_names()
        return {name: value if name in parameters else carried(value) for name, value in state.items()}

    def __copy__(self) -> Any:
        """Return a model that shares everything: its arrays stay where they are."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    # What the classifier and the regressor do each in its way.

    _predicts_numbers: ClassVar[bool]

    def _learn_classes(self, backend: Backend, x: Any, y: Any, classes: Any, anew: bool) -> None:
        """Learn the classes from checked targets, or compare these with them; there are none to learn for numbers."""

    @abstractmethod
    def _take_target(self, backend: Backend, y: Any) -> tuple[Array, int]:
        """Return checked targets on the backend, and the number of outputs."""

    @abstractmethod
    def _name_output(self) -> str:
        """Return scikit-learn's name of the output activation."""

    @abstractmethod
    def _score(self, backend: Backend, values: Array, target: Array, sample_weight: Array | None) -> float:
        """Return the score of the network's probabilities or predictions."""

    def _strata(self, examples: Examples) -> np.ndarray | None:
        """Return what is to be held out in equal shares."""
        return None

    def _weigh(self, examples: Examples) -> Examples:
        """Return examples with what each counts for in training."""
        return examples

    # Fitting.

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any = None,
        y_val: Any = None,
        incremental: bool = False,
        classes: Any = None,
    ) -> Any:
        hidden = self._check_options(X_val, y_val, incremental)
        hooks = None
        if getattr(self, "_skl_callbacks", None):
            hooks = Hooks(self, X, y, sample_weight, 1 if incremental else self.max_iter)
        with restored_on_error(self):
            problem = self._pose(hidden, X, y, sample_weight, X_val, y_val, incremental, classes)
            if hooks is not None:
                problem = problem._replace(callbacks=[*problem.callbacks, hooks])
                hooks.begin_epoch(problem.layers)
            solve = fit_lbfgs if self.solver == "lbfgs" else functools.partial(fit_stochastic, incremental=incremental)
            layers, doubts = solve(self, problem)
            self._keep_layers(problem.examples.samples.backend, layers)
            if hooks is not None:
                hooks.end()
        if doubts is not None:
            warnings.warn(doubts, ConvergenceWarning, stacklevel=4)
        return self

    def _check_options(self, X_val: Any, y_val: Any, incremental: bool) -> list[int]:
        """Return the sizes of the hidden layers, if what was chosen fits together."""
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True: use fit, or early_stopping=False.")
        if (X_val is None) != (y_val is None):
            raise ValueError("one of X_val and y_val is missing: give both, or neither.")
        given = self.hidden_layer_sizes
        hidden: list[Any] = [given] if isinstance(given, Integral) else list(given)
        for size in hidden:
            whole = isinstance(size, Integral) and not isinstance(size, bool)
            if not whole or int(size) < 1:
                kind = ValueError if whole else TypeError
                raise kind(f"hidden_layer_sizes must be > 0, got {hidden}: give whole numbers from 1 up, one a hidden layer.")
        if self.solver == "lbfgs" and any(check_rates(self.dropout, len(hidden))):
            raise ValueError(f"dropout is {self.dropout!r}, and lbfgs needs a loss that stays the same: use adam or sgd.")
        if self.solver == "lbfgs" and X_val is not None:
            raise ValueError("X_val is given, and lbfgs looks at no other samples: leave it out, or use adam or sgd.")
        return [int(size) for size in hidden]

    def _pose(
        self,
        hidden: list[int],
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        y_val: Any,
        incremental: bool,
        classes: Any,
    ) -> Problem:
        """Return what is to be solved: checked, placed, drawn and split."""
        anew = not (self.warm_start or incremental)
        known = hasattr(self, "coefs_") and not anew
        rates, callbacks = check_rates(self.dropout, len(hidden)), check_callbacks(self.callbacks)
        X, y, backend = check_fit(self, X, y, not known, self._predicts_numbers)
        backend = self._known_backend(backend) if known else backend
        self._learn_classes(backend, X, y, classes, anew)
        target, self.n_outputs_ = self._take_target(backend, y)
        examples = Examples(hold(backend, X), target, check_sample_weight(backend, sample_weight, X.shape[0]))
        held_out = None if X_val is None else self._check_validation(backend, X_val, y_val)
        self._random_state = check_random_state(self.random_state)
        self._mask_generator = self._continue_masks(known, rates)
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        if known:
            layers = self._known_layers(backend, sizes)
        else:
            self.n_layers_, self.out_activation_ = len(sizes), self._name_output()
            layers = self._draw_layers(backend, sizes)
        if self.early_stopping and self.solver != "lbfgs" and held_out is None:
            examples, held_out = self._split(examples)
        self._begin_records(known, layers, held_out is not None)
        output = OUTPUTS[self.out_activation_]
        activations = self._activations(len(hidden), output)
        validation = None
        if held_out is not None:
            validation = Validation(activations, output, held_out, self._score, with_loss=bool(callbacks))
        examples = self._weigh(examples)
        alpha = scale_alpha(backend, float(self.alpha), examples.sample_weight)
        return Problem(activations, output.loss, alpha, layers, examples, rates, callbacks, validation)

    def _continue_masks(self, known: bool, rates: Sequence[float]) -> np.random.Generator | None:
        """Return the random numbers of the dropout masks: those of a known model go on, whatever random_state is.

        From an integer, each call starts again as scikit-learn's does: masks that did so too would drop the same neurons for
        the same samples in every `partial_fit`, and the others would learn the samples by heart.
        """
        # Copies: a fit that fails leaves no trace, and all else is drawn as it is without dropout.
        before = copy.deepcopy(self._mask_generator) if known else None
        if before is None and any(rates):
            return np.random.default_rng(list(copy.deepcopy(self._random_state).bytes(16)))
        return before

    def _draw_layers(self, backend: Backend, sizes: Sequence[int]) -> list[Layer]:
        """Return a new network's layers, drawn in scikit-learn's order (Glorot and Bengio, AISTATS 2010)."""
        factor = 2.0 if self.activation == "logistic" else 6.0
        layers = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = math.sqrt(factor / (fan_in + fan_out))
            weight = self._random_state.uniform(-bound, bound, (fan_in, fan_out)).T
            layers.append(Layer(weight, self._random_state.uniform(-bound, bound, fan_out)))
        return [Layer(*map(backend.asarray, layer)) for layer in layers]

    def _begin_records(self, known: bool, layers: Sequence[Layer], scored: bool) -> None:
        """Begin what is noted after every epoch, or go on with it."""
        if not known:
            self.n_iter_ = self.t_ = self._no_improvement_count = 0
            self._optimizer = None
            for name in ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "_best_layers"):
                vars(self).pop(name, None)
        if self.solver == "lbfgs":
            return
        before = {name: value for name, value in vars(self).items() if value is not None}
        self.loss_curve_ = before.get("loss_curve_", [])
        self.best_loss_ = None if self.early_stopping else before.get("best_loss_", math.inf)
        self.validation_scores_ = before.get("validation_scores_", []) if scored else None
        self.best_validation_score_ = before.get("best_validation_score_", -math.inf) if scored else None
        self._best_layers = before.get("_best_layers", layers) if scored else None

    def _known_backend(self, backend: Backend) -> Backend:
        """Return the backend of an earlier fit, which is to be that of the data."""
        own = backend_of(self.coefs_[0])
        refuse_elsewhere(backend, own, "X", "move X to where the model was fitted, or fit with warm_start=False")
        return own

    def _known_layers(self, backend: Backend, sizes: Sequence[int]) -> list[Layer]:
        """Return the layers of an earlier fit, on the backend."""
        found = [self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_)]
        if found != list(sizes) or self.out_activation_ != self._name_output():
            raise ValueError(
                f"the model was fitted with layers of {found} and {self.out_activation_} outputs, and is to go on with "
                f"{list(sizes)} and {self._name_output()} outputs: a warm start and partial_fit keep them; use fit with "
                "warm_start=False."
            )
        return [
            Layer(as_array(backend, coef.mT, "coefs_"), as_array(backend, intercept, "intercepts_"))
            for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)
        ]

    def _keep_layers(self, backend: Backend, layers: Sequence[Layer]) -> None:
        if not is_finite(backend, layers):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
                "preprocessed."
            )
        vars(self).update(fitted_layers(layers))

    def _split(self, examples: Examples) -> tuple[Examples, Examples]:
        """Return examples to learn from and examples held out, as scikit-learn splits them."""
        learned, held_out = train_test_split(
            np.arange(examples.samples.count),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(examples),
        )
        if len(held_out) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        parts = examples.take(np.asarray(learned)), examples.take(np.asarray(held_out))
        remedy = "give X_val and y_val, or leave out the samples that count for nothing"
        for part, name in zip(parts, ("left to learn from", "held out by early_stopping"), strict=True):
            weight, backend = part.sample_weight.array, part.samples.backend
            if weight is not None:
                refuse_weightless(backend, weight, f"sample_weight of the samples {name}", remedy)
                # One sample has no R2, and two are the fewest that are held out where all count.
                if part is parts[1] and np.count_nonzero(backend.to_numpy(weight)) < 2:
                    raise ValueError(
                        f"sample_weight is zero for all but one of the samples {name}, and a score takes two: {remedy}."
                    )
        return parts

    def _check_validation(self, backend: Backend, X_val: Any, y_val: Any) -> Examples:
        try:
            X_val, y_val, own = check_fit(self, X_val, y_val, False, self._predicts_numbers)
            refuse_elsewhere(own, backend, "X", "give X and X_val alike")
            target, outputs = self._take_target(backend, y_val)
            if outputs != self.n_outputs_:
                raise ValueError(f"y has {outputs} outputs, and the network {self.n_outputs_}: give a column for each.")
        except (ValueError, TypeError) as error:
            raise type(error)(f"among X_val and y_val, {error}") from None
        return Examples(hold(backend, X_val), target, SampleWeights())

    def _activations(self, hidden: int, output: Output) -> tuple[Any, ...]:
        return (ACTIVATIONS[self.activation](),) * hidden + (output.activation,)

    # Going through the network.

    def _values(self, X: Any, method: str) -> tuple[Backend, Array]:
        """Return the backend, and the network's probabilities or predictions on it, of shape (samples, outputs)."""
        check_is_fitted(self)
        samples = check_predict(self, X, method)
        output = OUTPUTS[self.out_activation_]
        layers = [Layer(coef.mT, intercept) for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True)]
        if layers[0].weight.dtype != samples.backend.dtype:
            layers = map_parameters(samples.backend.asarray, layers)
        out = out_of(self._activations(len(layers) - 1, output), layers, samples)
        return samples.backend, compiled(samples.backend, output.value)(out)

    def _check_to_score(self, predicted: Array, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """Return targets and weights to score predictions by: all of them on the host, or all on the device."""
        backend = backend_of(self.coefs_[0])
        refuse_masked(y, "y")
        y, weight = (
            None if given is None else follow_samples(backend, given, name)
            for given, name in ((y, "y"), (sample_weight, "sample_weight"))
        )
        if is_host(predicted):
            numpy = select_backend("numpy", "float64")
            return to_host(y), check_sample_weight(numpy, to_host(weight), predicted.shape[0]).array
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if tuple(y.shape) != tuple(predicted.shape):
            raise ValueError(
                f"y has shape {tuple(y.shape)}, and the predictions have {tuple(predicted.shape)}: give one for each."
            )
        return y, check_sample_weight(backend, weight, predicted.shape[0]).array

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags


@contextlib.contextmanager
def restored_on_error(model: Any) -> Iterator[None]:
    """Give a model back what it had learned if the block fails.

    Parameters
    ----------
    model : Perceptron
        Its attributes are kept, but for its parameters.
    """
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
