"""Network, the class that users work with: it binds the algorithm to a backend, checks its arguments, and delegates."""

from __future__ import annotations

import copy
import dataclasses
import functools
import operator
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from portable_bp.algorithm import propagation
from portable_bp.algorithm.arrays import Array, Layer, map_parameters, namespace, sizes_of, split_layers
from portable_bp.algorithm.choices import (
    check_sizes,
    is_one_activation,
    refuse_population,
    resolve_activations,
    resolve_initializer,
    resolve_loss,
    resolve_measured_activations,
    resolve_optimizer,
)
from portable_bp.algorithm.dropout import check_member_rates, check_rates
from portable_bp.algorithm.fields import COUNT, DECIMALS, check_members, check_number
from portable_bp.algorithm.initializers import draw_weights
from portable_bp.algorithm.losses import target_axes
from portable_bp.algorithm.needs import need_of_gradient, need_of_output
from portable_bp.backends import (
    Backend,
    Rows,
    advise_fewer,
    attempt,
    carried,
    compiled,
    is_built_in,
    joined,
    release_frames,
    select_backend,
)
from portable_bp.backends.selector import dtype_name
from portable_bp.checks import (
    DataChecker,
    as_generators,
    check_activation,
    check_loss,
    check_optimizer,
    check_same,
    check_weights,
    split_validation,
    warn_of_bounds,
)
from portable_bp.common.generators import GENERATORS, Generators, pack_generators, set_state, state_of, unpack_generators
from portable_bp.common.words import counted
from portable_bp.exchange.describe import (
    check_network,
    check_notes,
    describe,
    describe_named,
    describe_network,
    describe_read_activations,
    name_arrays,
    pack_notes,
    parameters_of,
    remake_activations,
    remake_loss,
    unpack_notes,
    version_of,
)
from portable_bp.exchange.onnx import write_onnx
from portable_bp.exchange.sklearn import read_perceptron
from portable_bp.inspection import LayerTrace, Trace, trace_network
from portable_bp.inspection.summary import summary_table
from portable_bp.inspection.trace import Pieces, Subject
from portable_bp.storage import ModelFileError, read_arrays, write_arrays
from portable_bp.training import Checkpoint, Dataset, History, MeanLoss, PopulationHistory, Settings, Training, train
from portable_bp.training.callbacks import check_callbacks
from portable_bp.training.checkpoints import check_checkpoint
from portable_bp.training.fingerprints import fingerprint_array, fingerprint_piece
from portable_bp.training.members import take_members
from portable_bp.training.step import Batch, rows_of

if TYPE_CHECKING:
    from portable_bp.inspection.gradient_check import GradientCheck


class Network:
    """A dense network of any size, or a population of such networks, which are trained at once.

    A population has ``len(network)`` members of the same sizes and activations. Its arrays have a leading axis of members, and
    member k is what a single network with the seed ``seed + k`` would be.

    Parameters
    ----------
    sizes : sequence of int
        The number of inputs, then of neurons in each layer: ``[2, 4, 3, 2]`` is the article's network.
    activation : str, activation, or sequence of these
        One activation for all hidden layers, or a sequence with one for each layer above the inputs. A pair of functions
        ``(value, delta)`` is an activation too.
    output_activation : str or activation, optional
        The activation of the output layer. The default is the last of a sequence in ``activation``, else "identity": outputs
        can then be any numbers, as regression needs, and the cross-entropies take them as nets. With "softmax" or "sigmoid",
        predictions are probabilities, and the matching cross-entropy is still computed from the nets.
    bias : bool
        Whether the layers have biases, which start at zero.
    backend : str or Backend
        The array library and device, as in `select_backend`.
    dtype : str, optional
        "float32" or "float64". The default is that of a given Backend, else "float32".
    seed : int or numpy.random.Generator, optional
        Determines the weights and, unless `fit` is given a seed, the batches: the same on every backend. A generator must come
        from ``numpy.random.default_rng``.
    initializer : str or callable
        The name of an initializer, or a function of a NumPy generator and a shape that returns the weights.
    check_finite : bool
        Whether to refuse inputs and targets with NaN or infinity. The check reads one or two numbers back from the device.
    population : int, optional
        The number of members, from 1 up. The default is a single network. ``seed`` may then be a sequence of one for each
        member.

    Attributes
    ----------
    layers : tuple of Layer
        The weight, of shape (fan_out, fan_in), and the bias, of shape (fan_out,) or None, of every layer above the inputs:
        arrays of the backend. In a population, their shapes are (members, fan_out, fan_in) and (members, fan_out).
    activations : tuple of activation
        The activation of each layer.
    backend : Backend
        The backend that holds the arrays.
    loss_function : loss or None
        The loss that `fit` last minimized.
    history : History, PopulationHistory or None
        The history of the last `fit`, even if it was interrupted.
    population : int or None
        The number of members; None for a single network.
    notes : dict of str to str
        Anything that you want to store with the network in its model files.

    Raises
    ------
    ValueError
        If a size or a name is not valid.
    BackendUnavailableError
        If the backend cannot be used here; the message says why.

    Examples
    --------
    >>> network = Network([2, 4, 1], activation="tanh", backend="numpy", seed=0)
    >>> network.predict([[0.0, 1.0], [1.0, 0.0]]).shape
    (2, 1)
    >>> ensemble = bp.Network([2, 4, 1], activation="tanh", backend="numpy", seed=0, population=5)
    >>> ensemble.predict([[0.0, 1.0], [1.0, 0.0]]).shape
    (5, 2, 1)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Any = "sigmoid",
        output_activation: Any = None,
        bias: bool = True,
        *,
        backend: str | Backend = "auto",
        dtype: Any = None,
        seed: Any = None,
        initializer: str | Callable[..., np.ndarray] = "glorot_uniform",
        check_finite: bool = True,
        population: int | None = None,
    ) -> None:
        sizes = check_sizes(sizes)
        if output_activation is None and is_one_activation(activation):
            output_activation = "identity"
        activations = resolve_activations(activation, output_activation, len(sizes) - 1)
        members = None if population is None else check_number(population, "population", COUNT)
        draw, generator = resolve_initializer(initializer), as_generators(seed, members)
        chosen = select_backend(backend, dtype)
        if isinstance(generator, tuple):
            drawn = [draw_weights(draw, each, sizes) for each in generator]
            weights = [np.stack(each) for each in zip(*drawn, strict=True)]
        else:
            weights = draw_weights(draw, generator, sizes)
        biases = [np.zeros(weight.shape[:-1]) for weight in weights] if bias else None
        self._assemble(check_weights(chosen, weights, biases, check_finite), activations, chosen, generator, check_finite)

    def _assemble(
        self,
        layers: Sequence[Layer],
        activations: Sequence[Any],
        backend: Backend,
        generator: Generators,
        check_finite: bool,
    ) -> None:
        """Set every attribute of an untrained network."""
        if _members_of(layers) is not None:
            for activation, layer in zip(activations, layers, strict=True):
                check_activation(backend, activation, layer.weight.shape[-2])
        self.layers, self.activations, self.backend = tuple(layers), tuple(activations), backend
        self.check_finite = check_finite
        self.loss_function: Any = None
        self.history: Any = None
        self.notes: dict[str, str] = {}
        self._generator = generator
        self._left: dict[str, str] = {}  # fingerprints of the last training with a checkpoint

    @classmethod
    def from_weights(
        cls,
        weights: Sequence[Any],
        biases: Sequence[Any] | None = None,
        activation: Any = "sigmoid",
        output_activation: Any = None,
        *,
        backend: str | Backend = "auto",
        dtype: Any = None,
        seed: Any = None,
        check_finite: bool = True,
    ) -> Network:
        """Make a network with given weights, which are copied.

        Parameters
        ----------
        weights : sequence of arrays, each of shape (fan_out, fan_in)
            The article's W_b, W_c, W_d: row i holds the weights that lead to neuron i. A leading axis of members makes a
            population; the biases must then have it too.
        biases : sequence of arrays, each of shape (fan_out,), optional
            The default is a network without biases.
        activation : str, activation, or sequence of these
            One activation for all layers above the inputs, or a sequence with one for each.
        output_activation : str or activation, optional
            The activation of the output layer, if it is another.
        backend, dtype, seed, check_finite
            As in `Network`.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If the shapes do not fit together.
        """
        chosen = select_backend(backend, dtype)
        layers = check_weights(chosen, weights, biases, check_finite)
        members = _members_of(layers)
        activations, copied = resolve_activations(activation, output_activation, len(layers)), compiled(chosen, _copied)(layers)
        if cls.__new__ is object.__new__ and cls.__init__ is Network.__init__:
            network = object.__new__(cls)
            network._assemble(copied, activations, chosen, as_generators(seed, members), check_finite)
            return network
        # A subclass may take these arguments, and set attributes of its own.
        network = cls(
            list(sizes_of(layers)),
            activations,
            None,
            biases is not None,
            backend=chosen,
            dtype=dtype,
            seed=seed,
            initializer="zeros",
            check_finite=check_finite,
            **({} if members is None else {"population": members}),
        )
        network.layers = tuple(copied)
        return network

    @classmethod
    def from_torch(
        cls,
        module: Any,
        *,
        backend: str | Backend = "auto",
        dtype: Any = None,
    ) -> Network:
        """Make a network from a PyTorch module, whose weights are copied through main memory.

        Parameters
        ----------
        module : torch.nn.Sequential or torch.nn.Linear
            May hold Linear layers and the named activations, nested or not. Dropout is left out, since it has no effect on
            predictions.
        backend : str or Backend
            As in `Network`.
        dtype : str, optional
            "float32" or "float64". The default is the module's.

        Returns
        -------
        Network

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        ValueError
            If the module holds anything else; the message names the part and its place.
        TypeError
            If it is not a module.
        """
        # PyTorch takes a second to import.
        from portable_bp.exchange.torch import read_modules

        weights, biases, descriptions = read_modules(module)
        activations = remake_activations(descriptions)
        return cls.from_weights(
            weights, biases, activations, backend=backend, dtype=weights[0].dtype if dtype is None else dtype
        )

    @classmethod
    def from_sklearn(
        cls,
        model: Any,
        *,
        backend: str | Backend = "auto",
        dtype: Any = None,
    ) -> Network:
        """Make a network from a fitted MLPClassifier or MLPRegressor, whose weights are copied through main memory.

        The model may be one of scikit-learn or of `portable_bp.estimators`. `predict` returns what the model's
        ``predict_proba`` returns (for two classes, only the column of the second), or a regressor's predictions, of shape
        (samples, outputs).

        Parameters
        ----------
        model : MLPClassifier or MLPRegressor
            A fitted model.
        backend : str or Backend
            As in `Network`.
        dtype : str, optional
            "float32" or "float64". The default is the model's.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If the model is not fitted.
        TypeError
            If it is something else.
        """
        weights, biases, activations = read_perceptron(model)
        return cls.from_weights(
            weights, biases, activations, backend=backend, dtype=weights[0].dtype if dtype is None else dtype
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of inputs, then of neurons in each layer."""
        return sizes_of(self.layers)

    @classmethod
    def stack(cls, members: Sequence[Network]) -> Network:
        """Make a population of single networks, whose weights and random numbers are copied; the rest is that of the first.

        Parameters
        ----------
        members : sequence of Network
            Networks of the same sizes, activations, backend and dtype.

        Returns
        -------
        Network

        Raises
        ------
        ValueError
            If they differ, or if there are none.
        TypeError
            If one is no network.
        """
        given = check_same(members)
        layers = compiled(given[0].backend, _stacked)([list(member.layers) for member in given])
        return given[0]._twin(layers, tuple(copy.deepcopy(member._generator) for member in given))

    def member(self, k: int) -> Network:
        """Return a copy of a member of a population as a single network, which goes on as the member would.

        Parameters
        ----------
        k : int
            The number of the member, from 0 up, or from -1 down for the last ones.

        Returns
        -------
        Network

        Raises
        ------
        IndexError
            If there is no such member.
        TypeError
            If this is a single network.
        """
        members = len(self)
        try:
            number = range(members)[operator.index(k)]
        except IndexError:
            raise IndexError(f"member {k} does not exist: the population has members 0 to {members - 1}.") from None
        chosen = self._chosen([number])
        layers, (generator,) = compiled(self.backend, _first)(chosen.layers), chosen._generators
        return chosen._twin(layers, generator, self.history[number] if isinstance(self.history, PopulationHistory) else None)

    def best(self, k: int = 1, by: str = "validation_loss") -> Network:
        """Return copies of the members with the lowest losses of the last `fit`.

        The loss of a member is that of its weights: of the epoch that `EarlyStopping` kept, or else of the last one. Members
        that diverged come last.

        Parameters
        ----------
        k : int
            How many.
        by : {"validation_loss", "loss"}
            The loss to compare.

        Returns
        -------
        Network
            The best member as a single network if ``k`` is 1, else a population of the ``k`` best, the best one first. Each
            has its history.

        Raises
        ------
        ValueError
            If the population was not trained, or not with validation data, or has fewer members.
        TypeError
            If this is a single network.
        """
        members, count = len(self), check_number(k, "k", COUNT)
        if not isinstance(self.history, PopulationHistory):
            raise ValueError("the population was not trained, so its members have no losses: call fit first.")
        if count > members:
            raise ValueError(f"k is {k}, and the population has {counted(members, 'member')}: give at most as many.")
        order = self.history.ranking(by)
        return self.member(order[0]) if count == 1 else self._chosen(order[:count])

    @property
    def population(self) -> int | None:
        """The number of members; None for a single network."""
        return _members_of(self.layers)

    def __len__(self) -> int:
        """Return the number of members of a population."""
        if self.population is None:
            raise TypeError("a single network has no members: make one with population to have some.")
        return self.population

    def __bool__(self) -> bool:
        """Return True, as any object without a length."""
        return True

    @property
    def coefs_(self) -> list[Array]:
        """A copy of each layer's weight in scikit-learn's layout, (fan_in, fan_out)."""
        return [layer.weight.mT for layer in compiled(self.backend, _copied)(self.layers)]

    @property
    def intercepts_(self) -> list[Array]:
        """A copy of each layer's bias, of shape (fan_out,): zeros if the network has no biases."""
        return [
            self.backend.asarray(np.zeros(layer.weight.shape[:-1])) if layer.bias is None else layer.bias
            for layer in compiled(self.backend, _copied)(self.layers)
        ]

    def __repr__(self) -> str:
        """Return the sizes, the activations, the backend and the device."""
        names = ", ".join(type(activation).__name__ for activation in self.activations)
        many = "" if self.population is None else f"{self.population:,} x "
        return f"<Network {many}{'-'.join(map(str, self.sizes))}, {names}, {self.backend.name} on {self.backend.device}>"

    def _repr_html_(self) -> str:
        """Return a table of the layers for a notebook."""
        return summary_table(repr(self)[1:-1], self.layers, self.activations)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes to pickle, the backend first: its error is the clearest if the library is missing."""
        return {"backend": self.backend, **vars(self), "layers": carried(self.layers)}

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        """Return a network that shares nothing that training changes; its arrays are copied on their device."""
        twin = memo[id(self)] = object.__new__(type(self))
        kept = {name: value for name, value in vars(self).items() if name != "layers"}
        vars(twin).update(copy.deepcopy(kept, memo), layers=tuple(compiled(self.backend, _copied)(self.layers)))
        return twin

    def __copy__(self) -> Network:
        """Return a deep copy: two networks never share random numbers, notes or history."""
        return copy.deepcopy(self)

    @release_frames
    def predict(self, x: Any) -> Array:
        """Return the outputs for a batch; a very large batch is computed in chunks.

        Parameters
        ----------
        x : list or array, shape (samples, inputs) or (inputs,)
            A batch, or one sample. Data on the host are moved to the device one chunk at a time. In a population, the shape
            may be (members, samples, inputs), for a batch of each member's own.

        Returns
        -------
        array, shape (samples, outputs) or (outputs,)
            The out of the output layer. In a population, this and other results have a leading axis of members.

        Raises
        ------
        ValueError, TypeError
            If x does not fit.
        MemoryError
            If the device runs out of memory; the message says how many samples would fit.
        """
        outs, single = [], False
        for chunk in self._checker.chunks(x):
            outs.append(self._run("predicting", need_of_output, propagation.output, (self.activations,), (chunk.array,)))
            single = chunk.single
        out = joined(self.backend, outs)
        return out[..., 0, :] if single else out

    @release_frames
    def hidden(self, x: Any) -> tuple[Array, ...]:
        """Return the out of every layer for a batch.

        Parameters
        ----------
        x : list or array, shape (samples, inputs) or (inputs,)
            A batch, or one sample.

        Returns
        -------
        tuple of array, each of shape (samples, neurons) or (neurons,)
            The outs of the layers above the inputs; the last is that of the output layer.
        """
        inputs, single = self._checker.inputs(x)
        outs = self._run("predicting", need_of_gradient, _outs, (self.activations,), (inputs,))
        return tuple(out[..., 0, :] for out in outs) if single else tuple(outs)

    @release_frames
    def loss(self, x: Any, target: Any, loss: Any = "squared_error", sample_weight: Any = None) -> Array:
        """Return the error of a batch: the mean over samples of the loss.

        Parameters
        ----------
        x : list or array, shape (samples, inputs) or (inputs,)
            A batch, or one sample. In a population, this, the target and the sample weights may each have a leading axis of
            members.
        target : list or array, shape (samples, outputs) or (outputs,)
            The desired outputs. A loss of classes also takes integers of shape (samples,), and a network with one output also
            takes numbers of shape (samples,).
        loss : str or loss
            The name of a loss, an object with ``value`` and ``slope``, or a pair of such functions.
        sample_weight : list or array, shape (samples,), optional
            The weight of each sample in the mean: a weight of two is the same as giving the sample twice. Weights are first
            scaled to a mean of one.

        Returns
        -------
        array, shape (), or (members,) in a population
            The error.

        Raises
        ------
        ValueError, TypeError
            If the arguments do not fit the network or each other.
        """
        pieces, data, _ = self._check_batch(x, target, loss, sample_weight)
        return self._run("the loss of", need_of_output, propagation.measure_error, pieces, data)

    @release_frames
    def gradient(self, x: Any, target: Any, loss: Any = "squared_error", sample_weight: Any = None) -> list[Layer]:
        """Return the gradient of `loss` with respect to every weight and bias.

        Parameters
        ----------
        x, target, loss, sample_weight
            As in `loss`.

        Returns
        -------
        list of Layer
            dE/dweight and dE/dbias of every layer, in the shapes of the parameters. The bias is None in a network without
            biases.
        """
        pieces, data, _ = self._check_batch(x, target, loss, sample_weight)
        return self._run("the gradient of", need_of_gradient, _gradient, pieces, data)

    @release_frames
    def input_gradient(self, x: Any, target: Any, loss: Any = "squared_error", sample_weight: Any = None) -> Array:
        """Return the gradient of `loss` with respect to the inputs.

        Parameters
        ----------
        x, target, loss, sample_weight
            As in `loss`.

        Returns
        -------
        array, of the shape of x
            dE/dx; in a population with a leading axis of members, also if they share x.
        """
        pieces, data, single = self._check_batch(x, target, loss, sample_weight)
        slope = self._run("the gradient of", need_of_gradient, propagation.input_gradient, pieces, data)
        return slope[..., 0, :] if single else slope

    @release_frames
    def trace(self, x: Any, target: Any, loss: Any = "squared_error", decimals: int | None = None) -> Trace:
        """Return every net, out, delta and gradient of one pass forward and back.

        Parameters
        ----------
        x, target, loss
            As in `loss`.
        decimals : int, optional
            Round every result to this many decimals before it is used further, as the article does with 4.

        Returns
        -------
        Trace
            ``trace["b"].net``, ``.out``, ``.delta``, ``.gradient.weight``; ``trace.inputs``, ``.target``, ``.error``.
        """
        refuse_population(self.population, "a trace shows one network", "network.member(k).trace")
        pieces, data, single = self._check_batch(x, target, loss, None)
        traced = Pieces(*pieces, self.activations[-1], check_number(decimals, "decimals", DECIMALS))
        error, layers = self._run("a trace of", need_of_gradient, trace_network, (traced,), data)
        inputs, target, _ = data
        if single:
            layers = [LayerTrace(net[0, :], out[0, :], delta[0, :], slope) for net, out, delta, slope in layers]
            inputs, target = inputs[0, :], target[0, ...]
        return Trace(Subject(traced, self.layers, self.backend), inputs, target, error, layers)

    @release_frames
    def fit(
        self,
        x: Any,
        target: Any,
        loss: Any = "squared_error",
        optimizer: Any = "sgd",
        learning_rate: Any = None,
        epochs: int = 1,
        batch_size: int | None = None,
        validation_data: tuple[Any, ...] | None = None,
        callbacks: Sequence[Callable[[Training], Any]] = (),
        progress: bool = False,
        seed: Any = None,
        *,
        sample_weight: Any = None,
        dropout: Any = 0.0,
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int | None = None,
        resume: bool = False,
        shared_order: bool = False,
    ) -> Any:
        """Train the network on shuffled batches.

        The members of a population are trained at once, each as it would be alone: on samples in an order of its own, with
        dropout masks of its own, until it is stopped. Numbers of the optimizer and the schedule, and the dropout rates, may be
        lists of one for each member. A member that diverges keeps its last finite weights, with a warning; the others go on.

        Parameters
        ----------
        x, target, loss, sample_weight
            As in `loss`. The data are moved to the device once.
        optimizer : str or optimizer
            The name of an optimizer, an object with ``init`` and ``update``, or a pair of such functions.
        learning_rate : float or schedule, optional
            The learning rate of a named optimizer. The default is the optimizer's own (0.1 for sgd, 0.001 for adam).
        epochs : int
            The number of passes over the data.
        batch_size : int, optional
            The number of samples in a step. The default is all of them.
        validation_data : tuple of x, target and optionally sample weight, optional
            Data whose loss is measured after every epoch.
        callbacks : sequence of callable
            Functions that are called with a `Training` after every epoch, such as `EarlyStopping`.
        progress : bool
            Whether to show a progress bar, which needs tqdm.
        seed : int or numpy.random.Generator, optional
            Determines the batches and dropout masks. The default continues with the network's own random numbers. The same seed
            draws the same numbers in every call: leave it out if you call `fit` repeatedly.
        dropout : float or sequence of float
            The fraction of outs that is dropped during training: one number for all hidden layers, or one for each. In a
            population, it may also be one for each member, or an array of shape (members, hidden layers).
        checkpoint : path, optional
            A file for the complete state of the training, written before the first epoch and after every epoch. It needs
            safetensors.
        checkpoint_every : int, optional
            Also write the checkpoint within an epoch, after this many batches.
        resume : bool
            Whether to continue from the checkpoint if it exists, up to ``epochs`` in all. With the same data, callbacks and
            settings the results are those of an uninterrupted training, on NumPy bit for bit. A checkpoint with other data,
            other initial weights (from another seed), or another optimizer, loss or activation is refused; the code and the
            settings of your own pieces, and whatever they use from your modules, must be the same. Callbacks may have other
            settings, such as another patience. Batches and dropout masks continue from the checkpoint, whatever the seed.
        shared_order : bool
            Whether all members of a population see the samples in the order that the first one draws, which takes less memory
            and time.

        Returns
        -------
        History or PopulationHistory
            ``history.loss`` holds the loss of every epoch, including those before a checkpoint.

        Raises
        ------
        ValueError, TypeError
            If the arguments do not fit; the network is unchanged.
        DivergenceError
            If the loss or a weight becomes NaN or infinite, in all members of a population; the network keeps its last finite
            weights.
        ModelFileError
            If the checkpoint is damaged.
        MemoryError
            If the device runs out of memory; the message says which batch size would fit, and the network is as it was after
            the last complete epoch.
        OSError
            If the checkpoint cannot be written, or exists and ``resume`` is False; the existing file is unchanged.
        KeyboardInterrupt
            If you interrupt it; the message says from which epoch the network's weights are.

        Warns
        -----
        UserWarning
            If the activation of the output layer cannot give some of the targets, such as numbers above 1 from a sigmoid.
        """
        chosen = resolve_loss(loss)
        data = Dataset(*self._check_batch(x, target, chosen, sample_weight)[1])
        validation = None if validation_data is None else self._check_validation(validation_data, chosen)
        path, every = check_checkpoint(checkpoint, checkpoint_every, resume)
        settings = Settings(
            backend=self.backend,
            activations=resolve_measured_activations(self.activations, chosen),
            objective=MeanLoss(chosen),
            optimizer=self._check_optimizer(optimizer, learning_rate),
            epochs=check_number(epochs, "epochs", COUNT),
            batch_size=min(data.samples, check_number(data.samples if batch_size is None else batch_size, "batch_size", COUNT)),
            rates=self._check_dropout(dropout),
            callbacks=check_callbacks(callbacks),
            progress=progress,
            shared_order=self._check_shared_order(shared_order),
        )
        if self.population is not None:
            self._check_own_pieces(settings, data)
        generator = self._generator if seed is None else as_generators(seed, self.population)
        if self.check_finite:
            warn_of_bounds(self.backend, data.target, settings.activations[-1], chosen)
        if path is not None:
            run, fingerprints = self._describe_run(settings, data, validation), self._fingerprint_data(data, validation)
            kept = Checkpoint(path, self.backend, run, fingerprints, self._left, every, resume)
            settings = dataclasses.replace(settings, checkpoint=kept)
        if isinstance(data.inputs, Rows):
            settings = dataclasses.replace(settings, rows=functools.partial(data.inputs.take, self.backend))
            data = data._replace(inputs=None)
        training = Training(self.layers, history=History() if self.population is None else PopulationHistory(self.population))
        try:
            train(training, settings, data, validation, generator)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_describe_interruption(training, settings)) from None
        finally:
            self.layers = tuple(training.layers)
            if training.epoch:
                self.loss_function, self.history = chosen, training.history
        return training.history

    def to(self, backend: str | Backend, dtype: Any = None) -> Network:
        """Return a copy on another backend; its weights are moved through main memory.

        Parameters
        ----------
        backend : str or Backend
            As in `select_backend`.
        dtype : str, optional
            "float32" or "float64". The default is the network's.

        Returns
        -------
        Network
        """
        host = self._host_layers()
        moved = Network.from_weights(
            *split_layers(host),
            self.activations,
            backend=backend,
            dtype=host[0].weight.dtype if dtype is None else dtype,
            seed=copy.deepcopy(self._generator),
            check_finite=self.check_finite,
        )
        moved.loss_function, moved.notes = self.loss_function, dict(self.notes)
        return moved

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a model file, which `load` reads on any backend, bit for bit.

        It is a safetensors file whose arrays are named as in PyTorch's ``Sequential(Linear, activation, Linear, ...)``:
        0.weight, 0.bias, 2.weight, and so on. Its metadata holds the sizes, the activations, ``loss_function``, the dtype,
        ``notes`` and the state of the random numbers. It holds only the names of your own pieces. The arrays of a
        population have a leading axis of members. Notes of more than 3 MiB are stored as arrays of bytes: notes.0, notes.1, and
        so on.

        Parameters
        ----------
        path : path
            The file to write. An existing file is replaced once the new one is complete.

        Raises
        ------
        ImportError
            If safetensors is not installed.
        OSError
            If the file cannot be written; an existing file is unchanged.
        """
        notes, arrays = pack_notes(self.notes)
        facts = self._describe(self.loss_function) | {"notes": notes}
        version = version_of(facts, arrays)
        if self.population is None:
            facts["generator"] = state_of(self._generator)
        else:
            arrays[GENERATORS] = pack_generators(state_of(self._generator))
        write_arrays(path, "model", name_arrays(self._host_layers()) | arrays, facts, version=version)

    def to_torch(self) -> Any:
        """Return a ``torch.nn.Sequential(Linear, activation, Linear, activation, ...)`` with copies of the weights.

        Its state has the names of the arrays in a file of `save`, which it can load too.

        Returns
        -------
        torch.nn.Sequential
            On the network's device if its backend is PyTorch, else on the CPU.

        Raises
        ------
        ImportError
            If PyTorch is not installed.
        ValueError
            If an activation is your own.
        TypeError
            If this is a population.
        """
        from portable_bp.exchange.torch import make_sequential

        refuse_population(self.population, "PyTorch's Sequential is one network", "network.member(k).to_torch")
        descriptions = describe_named(self.activations, "PyTorch")
        return make_sequential(name_arrays(self._host_layers()), descriptions, self.backend)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write an ONNX file that takes "x" and gives "out", for batches of any size: of a population, the mean of its members.

        It has the network's dtype and opset 13. Its metadata holds the sizes, the activations, ``loss_function``, the dtype and
        ``notes`` as JSON.

        Parameters
        ----------
        path : path
            The file to write. An existing file is replaced once the new one is complete.

        Raises
        ------
        ImportError
            If onnx is not installed.
        ValueError
            If an activation is your own, or the weights take 2 GB or more.
        OSError
            If the file cannot be written; an existing file is unchanged.
        """
        activations = describe_named(self.activations, "ONNX")
        facts = self._describe(self.loss_function) | {"notes": check_notes(self.notes)}
        write_onnx(path, name_arrays(self._host_layers()), activations, facts)

    def _host_layers(self) -> list[Layer]:
        return map_parameters(self.backend.to_numpy, self.layers)

    def _describe(self, loss: Any) -> dict[str, Any]:
        return describe_network(self.layers, dtype_name(self.backend.dtype), self.activations, loss)

    def _describe_run(self, settings: Settings, data: Dataset, validation: Dataset | None) -> dict[str, Any]:
        """Return everything that must be the same when a training resumes from a checkpoint."""
        return (
            self._describe(None)
            | {
                "activations": [describe(activation, fingerprint_piece) for activation in self.activations],
                "loss": describe(settings.objective.loss, fingerprint_piece),
                "optimizer": describe(settings.optimizer, fingerprint_piece),
                "number of samples": data.samples,
                "shape of a target": list(data.target.shape[data.target.ndim - target_axes(data.target) + 1 :]),
                "sample_weight": data.sample_weight is not None,
                "batch_size": settings.batch_size,
                "dropout": [list(rate) if isinstance(rate, tuple) else rate for rate in settings.rates],
                "number of validation samples": 0 if validation is None else validation.samples,
            }
            | (
                {}
                if self.population is None
                else {"order of samples": "shared" if settings.shared_order else "each member's own"}
            )
        )

    def _fingerprint_data(self, data: Dataset, validation: Dataset | None) -> dict[str, str | None]:
        """Return fingerprints of the data of a training, by the names that a message uses."""
        names = ("inputs", "targets", "sample weights")
        given = dict(zip(names, data, strict=True))
        given |= {f"validation {name}": array for name, array in zip(names, validation or (None,) * 3, strict=True)}
        return {name: fingerprint_array(self.backend, array) for name, array in given.items()}

    @property
    def _checker(self) -> DataChecker:
        return DataChecker(self.backend, self.sizes, self.check_finite, self.population)

    def _check_optimizer(self, optimizer: Any, learning_rate: Any) -> Any:
        chosen = resolve_optimizer(optimizer, learning_rate)
        check_members(chosen, self.population)
        return chosen

    def _check_dropout(self, dropout: Any) -> tuple[Any, ...]:
        hidden = len(self.layers) - 1
        return check_rates(dropout, hidden) if self.population is None else check_member_rates(dropout, hidden, self.population)

    def _check_shared_order(self, shared_order: Any) -> bool:
        if not isinstance(shared_order, bool) or (shared_order and self.population is None):
            what = "should be True or False" if self.population else "is for the members of a population: leave it out"
            raise ValueError(f"shared_order is {shared_order!r}, and {what}.")
        return shared_order

    def _check_own_pieces(self, settings: Settings, data: Dataset) -> None:
        """Raise a ValueError if a loss or an optimizer of the user's own mixes the members of a population."""
        check_optimizer(self.backend, settings.optimizer, self.layers)
        if not is_built_in(settings.objective.loss):
            few = np.arange(min(data.samples, 3))
            batch = Batch(self.backend.asarray(few, "int32"), ())
            x = data.inputs.take(self.backend, few) if isinstance(data.inputs, Rows) else rows_of(data.inputs, 2, batch)
            outs = compiled(self.backend, propagation.output, settings.activations)(self.layers, x)
            check_loss(self.backend, settings.objective.loss, outs, rows_of(data.target, target_axes(data.target), batch))

    def _chosen(self, members: Sequence[int]) -> Network:
        """Return a population of copies of some members."""
        layers = take_members(self.backend, list(self.layers), np.asarray(members), len(self))
        generators = tuple(copy.deepcopy(self._generators[member]) for member in members)
        history = self.history.chosen(members) if isinstance(self.history, PopulationHistory) else None
        return self._twin(layers, generators, history)

    def _twin(self, layers: Sequence[Layer], generator: Generators, history: Any = None) -> Network:
        """Return a network with other layers, generator and history, and copies of all other attributes."""
        twin = object.__new__(type(self))
        replaced = {"layers": tuple(layers), "_generator": generator, "history": history, "_left": {}}
        kept = {name: value for name, value in vars(self).items() if name not in replaced}
        vars(twin).update(copy.deepcopy(kept), **replaced)
        return twin

    @property
    def _generators(self) -> tuple[np.random.Generator, ...]:
        """The generators of the members of a population."""
        return self._generator if isinstance(self._generator, tuple) else ()

    def _check_batch(self, x: Any, target: Any, loss: Any, sample_weight: Any) -> tuple[tuple[Any, Any], Any, bool]:
        """Return the activations and the loss to measure with, the data on the backend, and whether one sample was given."""
        chosen = resolve_loss(loss)
        activations = resolve_measured_activations(self.activations, chosen)
        return (activations, chosen), *self._checker.batch(x, target, chosen, sample_weight)

    def _check_validation(self, validation_data: Any, loss: Any) -> Dataset:
        x, target, sample_weight = split_validation(validation_data)
        try:
            return Dataset(*self._check_batch(x, target, loss, sample_weight)[1])
        except (ValueError, TypeError) as error:
            raise type(error)(f"in validation_data, {error}") from None

    def _run(
        self, doing: str, need: Callable[..., Any], function: Callable[..., Any], pieces: Sequence[Any], data: Sequence[Any]
    ) -> Any:
        """Return ``function(*pieces, layers, *data)``, run on the backend."""
        run, samples = compiled(self.backend, function, *pieces), data[0].shape[-2]
        doing, advise = f"{doing} {samples:,} samples at once", advise_fewer(need, self.layers, samples)
        return attempt(lambda: run(self.layers, *data), self.backend, doing, advise)


def load(
    path: str | os.PathLike[str], backend: str | Backend = "auto", activation: Any = None, output_activation: Any = None
) -> Network:
    """Return the network of a model file that `Network.save` wrote on any backend.

    Nothing in the file is executed: at worst, an untrusted file gives a network that predicts nonsense.

    Parameters
    ----------
    path : path
        The model file.
    backend : str or Backend
        As in `select_backend`. The dtype is the file's.
    activation : str, activation, or sequence of these, optional
        Your own activations, since the file holds only their names: a single one is used for each layer whose activation is
        your own, a sequence has one for each layer. If all activations of the file are built in, these replace them.
    output_activation : str or activation, optional
        The activation of the output layer, if it is another.

    Returns
    -------
    Network

    Raises
    ------
    ModelFileError
        If the file is damaged or not of a network, or names custom activations that are not given.
    ImportError
        If safetensors is not installed.
    OSError
        If the file cannot be read.
    ValueError, TypeError
        If the arguments do not fit.
    """
    arrays, facts = read_arrays(path, "model", check_network)
    activations = remake_activations(describe_read_activations(facts))
    own = [made for made in activations if isinstance(made, str)]
    if activation is None and own:
        raise ModelFileError(
            f"{os.fspath(path)} names custom activations ({', '.join(own)}), and a file cannot hold their code: load it in "
            "Python, and give them to bp.load as activation, one for all of them or a list with one for each layer."
        )
    if activation is not None and is_one_activation(activation) and own:
        activation = [activation if isinstance(made, str) else made for made in activations]
    try:
        states = unpack_generators(arrays[GENERATORS]) if "population" in facts else [facts["generator"]]
    except ValueError as error:
        raise ModelFileError(f"{os.fspath(path)} is not a valid model: {error}.") from None
    generators = tuple(np.random.default_rng() for _ in states)
    set_state(generators, states)
    network = Network.from_weights(
        *parameters_of(arrays),
        activations if activation is None else activation,
        output_activation,
        backend=backend,
        dtype=facts["dtype"],
        seed=generators if "population" in facts else generators[0],
        check_finite=False,
    )
    network.check_finite = True
    network.loss_function = remake_loss(facts.get("loss"))
    try:
        network.notes = unpack_notes(facts["notes"], arrays)
    except UnicodeDecodeError:
        raise ModelFileError(f"{os.fspath(path)} is not a valid model: its notes are not text.") from None
    return network


@release_frames
def check_gradient(network: Network, x: Any, target: Any, loss: Any = "squared_error", seed: int = 0) -> GradientCheck:
    """Compare a network's gradient with finite differences of its error, both in float64.

    In a layer with up to 1,000 parameters, each is moved alone; those of a larger layer are moved along random directions.
    The moved networks are evaluated as a population, so your own activation or loss must support leading axes. The delta of
    each activation and the slope of the loss are compared with finite differences of their values too, at the nets and outs of
    the samples, so the verdict names a piece whose derivative is wrong. On the jax backend this turns on ``jax_enable_x64``, as
    float64 always does there.

    Parameters
    ----------
    network : Network
        The network, which is not changed.
    x, target, loss
        As in `Network.loss`.
    seed : int
        Determines the random directions and slopes.

    Returns
    -------
    GradientCheck
        ``.max_relative_error``, about 1e-9 if the gradient is right, and ``.worst``, the slope in which it is largest;
        ``.layers``, the same for every layer; ``.passed`` and ``.verdict``, the result in words. Print it to read it.

    Examples
    --------
    >>> import portable_bp as bp
    >>> network = bp.Network([2, 4, 1], activation="tanh", backend="numpy", seed=0)
    >>> bp.check_gradient(network, [[0.0, 1.0], [1.0, 1.0]], [1.0, 0.0]).passed
    True
    """
    from portable_bp.inspection.gradient_check import CheckedNetwork, compare_gradient  # here, since training does not need it

    refuse_population(network.population, "a gradient check is of one network", "network.member(k)")
    double = network.to(network.backend, dtype="float64")
    pieces, data, _ = double._check_batch(x, target, loss, None)
    passed = double._run("the gradient of", need_of_gradient, propagation.propagate, pieces, data)
    return compare_gradient(CheckedNetwork(double.backend, pieces, double.layers, data), passed, np.random.default_rng(seed))


def _describe_interruption(training: Training, settings: Settings) -> str:
    checkpoint, resumes = settings.checkpoint, ""
    if checkpoint is not None and os.path.exists(checkpoint.path):
        resumes = f"; resume=True continues from {checkpoint.path}"
    return f"training was interrupted; the network is as it was after {training.epoch} of {settings.epochs} epochs{resumes}"


def _outs(activations: Sequence[Any], layers: Sequence[Layer], inputs: Array) -> list[Array]:
    return [signal.out for signal in propagation.forward(activations, layers, inputs)]


def _gradient(activations: Sequence[Any], loss: Any, layers: Sequence[Layer], *data: Array) -> list[Layer]:
    return propagation.propagate(activations, loss, layers, *data).gradient


def _members_of(layers: Sequence[Layer]) -> int | None:
    return layers[0].weight.shape[0] if layers[0].weight.ndim == 3 else None


def _stacked(networks: Sequence[Sequence[Layer]]) -> list[Layer]:
    return map_parameters(lambda *parameters: namespace(parameters[0]).stack(parameters, axis=0), *networks)


def _first(layers: Sequence[Layer]) -> list[Layer]:
    return map_parameters(lambda parameter: namespace(parameter).asarray(parameter[0, ...], copy=True), layers)


def _copied(layers: Sequence[Layer]) -> list[Layer]:
    return map_parameters(lambda parameter: namespace(parameter).asarray(parameter, copy=True), layers)
