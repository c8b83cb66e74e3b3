"""Checkpoints: the whole of a training in a file, so that one that was killed goes on as if it had not been."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from portable_bp.algorithm.arrays import Array, Layer
from portable_bp.algorithm.fields import COUNT, check_number
from portable_bp.backends import Backend
from portable_bp.backends.selector import dtype_name
from portable_bp.common.trees import leaves, map_leaves
from portable_bp.storage import ModelFileError, put_together, read_arrays, take_apart, write_arrays
from portable_bp.training.fingerprints import fingerprint_layers
from portable_bp.training.history import History, Training
from portable_bp.training.step import Progress


class Epoch(NamedTuple):
    """An epoch under way.

    Attributes
    ----------
    progress : Progress
        After the batches that were made.
    drawn_before : dict
        The state of the random numbers before the epoch drew any.
    batches : int
        How many of its batches were made.
    initial : str
        The fingerprint of the weights that the training began with; empty without a checkpoint.
    """

    progress: Progress
    drawn_before: Any
    batches: int = 0
    initial: str = ""


@dataclass(frozen=True)
class Checkpoint:
    """Where a training is kept, and when.

    Parameters
    ----------
    path : path
        The file.
    backend : Backend
        Where the training's arrays are.
    run : dict
        What JSON can say of all that must be the same when a training goes on: sizes, optimizer, batches, and so on.
    data : dict of str to str or None
        Fingerprints of the data, by what the message calls them.
    left : dict of str to str
        Of the weights that a training left the network with, the fingerprint, and that of those it began with; kept up to date.
    every : int, optional
        After how many batches of an epoch it is written; without it, after every epoch.
    resume : bool
        Whether a training goes on from a file that is there.
    """

    path: str | os.PathLike[str]
    backend: Backend
    run: Mapping[str, Any]
    data: Mapping[str, str | None]
    left: dict[str, str]
    every: int | None = None
    resume: bool = False

    def begin(self, training: Training, begun: Epoch, callbacks: Sequence[Any]) -> Epoch:
        """Return the epoch to go on with: that of the file, or the first, having written it.

        What cannot be written is so found out before the first step, and not after an hour.

        Parameters
        ----------
        training : Training
            At its very start; brought to where the file left it.
        begun : Epoch
            Its first epoch.
        callbacks : sequence of callable
            As `write` and `read` take them.
        """
        begun = begun._replace(initial=fingerprint_layers(self.backend, training.layers))
        if self.resume and os.path.exists(self.path):
            return self.read(training, begun, callbacks)
        self.write(training, begun, callbacks)
        return begun

    def leave(self, training: Training, initial: str) -> None:
        """Remember a training by the weights that it leaves, which an error or a callback may have made others than the file's.

        Parameters
        ----------
        training : Training
            As it ends, for whatever reason.
        initial : str
            The fingerprint of the weights that it began with.
        """
        self.left.clear()
        with contextlib.suppress(Exception):  # the error that ended the training is the one to be seen
            self.left[fingerprint_layers(self.backend, training.layers)] = initial

    def is_due(self, batches: int) -> bool:
        """Return whether it is to be written within an epoch.

        Parameters
        ----------
        batches : int
            How many batches of the epoch were made.
        """
        return self.every is not None and batches % self.every == 0

    def write(self, training: Training, epoch: Epoch, callbacks: Sequence[Any]) -> None:
        """Write the training as it is now.

        Parameters
        ----------
        training : Training
            As the last finished epoch left it.
        epoch : Epoch
            The one that is under way, or is next.
        callbacks : sequence of callable
            One with a method ``state_dict`` has what that returns kept.

        Raises
        ------
        OSError
            If the file cannot be written; the one that was there is as it was.
        TypeError
            If an optimizer or a callback remembers what a file cannot keep.
        """
        history = training.history
        arrays = {name: np.asarray(getattr(history, name), "float64") for name in ("loss", "validation_loss")}
        tree = {
            **epoch.progress._asdict(),
            "finished": training.layers if epoch.batches else None,
            "callbacks": [[callback.state_dict()] if hasattr(callback, "state_dict") else None for callback in callbacks],
        }
        if any(isinstance(leaf, dict) for leaf in leaves(epoch.progress.state)):
            raise TypeError("the optimizer's state holds a dict, which a checkpoint does not keep: use tuples or lists.")
        facts = take_apart(tree, self._fetch, arrays)
        learned = (array for name, array in arrays.items() if name.startswith(("layers.", "total")))
        if epoch.batches and not all(np.isfinite(array).all() for array in learned):
            return  # the end of the epoch will tell, and the file that is there has the last finite weights
        facts |= {"run": self.run, "data": self.data, "initial": epoch.initial}
        facts |= {"batches": epoch.batches, "drawn_before": epoch.drawn_before}
        facts |= {"best_epoch": history.best_epoch, "stop_reason": history.stop_reason}
        write_arrays(self.path, "checkpoint", arrays, facts)

    def read(self, training: Training, begun: Epoch, callbacks: Sequence[Any]) -> Epoch:
        """Bring a training to where the file left it.

        Parameters
        ----------
        training : Training
            Its layers, history and state are those of the last finished epoch then.
        begun : Epoch
            The first epoch of this training, whose arrays have the shapes that those of the file must have.
        callbacks : sequence of callable
            One with a method ``load_state_dict`` is given what the file kept of it.

        Returns
        -------
        Epoch
            The one that was under way, or is next.

        Raises
        ------
        ModelFileError
            If the file is damaged, or no checkpoint.
        ValueError
            If it is one of another training.
        """
        arrays, facts = read_arrays(self.path, "checkpoint")
        with self._told_of_the_file():
            _check_facts(facts)
        self._refuse_another_training(facts["run"], callbacks, facts["callbacks"])
        self._refuse_other_data(facts["data"])
        most = math.ceil(self.run["number of samples"] / self.run["batch_size"])
        with self._told_of_the_file():
            if facts["batches"] > most:
                raise ValueError(f"it has made {facts['batches']} batches of an epoch of {most}")
            sent = {name: self._send(array) for name, array in arrays.items()}
            progress = self._filled(begun.progress, [put_together(facts[name], sent) for name in Progress._fields])
            epoch = Epoch(progress, facts["drawn_before"], facts["batches"], facts["initial"])
            np.random.default_rng().bit_generator.state = epoch.drawn_before  # raises if it is none
            finished = put_together(facts["finished"], sent)
            layers = self._filled(progress.layers, finished if epoch.batches else progress.layers)
            losses = ([float(number) for number in arrays[name]] for name in ("loss", "validation_loss"))
            history = History(*losses, best_epoch=facts["best_epoch"], stop_reason=facts["stop_reason"])
            states = [None if state is None else put_together(state, sent) for state in facts["callbacks"]]
            known = {epoch.initial, *self._weights_left(layers, states)}
        if known.isdisjoint({begun.initial, self.left.get(begun.initial)}):
            raise self._another(
                "initial weights are not those of this network; make the network as it was made then, with the same seed"
            )
        with self._told_of_the_file():
            for callback, state in zip(callbacks, states, strict=True):
                if state is not None:
                    callback.load_state_dict(*state)
        training.layers, training.state, training.history = layers, progress.state, history
        return epoch

    @contextlib.contextmanager
    def _told_of_the_file(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelFileError(
                f"{os.fspath(self.path)} does not hold what a checkpoint does: {str(error)[:300]}."
            ) from error  # it may be a callback's own

    def _refuse_another_training(self, run: Mapping[str, Any], callbacks: Sequence[Any], kept: Sequence[Any]) -> None:
        mine = {**self.run, "callbacks with a state": [hasattr(callback, "state_dict") for callback in callbacks]}
        theirs = {**run, "callbacks with a state": [state is not None for state in kept]}
        for name in mine:
            if mine[name] != theirs.get(name):
                raise self._another(f"{name} is {str(theirs.get(name))[:200]}, and here it is {mine[name]}; train as it did")

    def _refuse_other_data(self, data: Mapping[str, Any]) -> None:
        for name, fingerprint in self.data.items():
            if fingerprint != data.get(name):
                raise self._another(f"{name} are not those given here; train on the same data, in the same order")

    def _weights_left(self, layers: Sequence[Any], states: Sequence[Any]) -> Iterator[str]:
        """Yield fingerprints of weights that the training may have left a network with: the last, and those callbacks keep."""
        dicts = [state[0] for state in states if state is not None and isinstance(state[0], dict)]
        kept = [part for found in dicts for part in found.values()]
        for part in [layers, *kept]:
            if isinstance(part, list) and list(map(_form, leaves(part))) == list(map(_form, leaves(layers))):
                yield fingerprint_layers(self.backend, [Layer(*layer) for layer in part])

    def _another(self, what: str) -> ValueError:
        return ValueError(f"{os.fspath(self.path)} is the checkpoint of another training: its {what}, or name another path.")

    def _fetch(self, array: Array) -> np.ndarray:
        if isinstance(array, np.ndarray | np.generic):
            return np.asarray(array)
        fetched = np.asarray(self.backend.to_numpy(array))
        if fetched.dtype not in (np.int32, self._dtype):
            raise TypeError(f"a checkpoint keeps arrays of {self._dtype} and int32, and was given {fetched.dtype}.")
        return fetched

    def _send(self, array: np.ndarray) -> Array:
        # A copy, since what is read may lie anywhere in memory, and where an array lies can change the last bits of sums.
        if array.dtype not in (np.int32, self._dtype):
            return array.copy()  # a callback's own, of NumPy
        return self.backend.asarray(array.copy(), "int32" if array.dtype == np.int32 else None)

    def _filled(self, like: Any, kept: Any) -> Any:
        """Return a tree with the arrays of another one, which must be of the same shapes and dtypes."""
        found, wanted = leaves(kept), leaves(like)
        # A callback may have put a number in the place of an array of one, such as a learning rate.
        found = [
            self.backend.asarray(leaf) if type(leaf) is float and getattr(array, "shape", None) == () else leaf
            for leaf, array in zip(found, wanted, strict=True)
        ]
        if list(map(_form, found)) != list(map(_form, wanted)):
            raise ValueError(f"it has arrays of {list(map(_form, found))}, not of {list(map(_form, wanted))}")
        taken = iter(found)
        return map_leaves(lambda _: next(taken), like)

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype(dtype_name(self.backend.dtype))


def _check_facts(facts: Mapping[str, Any]) -> None:
    holds = {
        "run": isinstance(facts["run"], dict),
        "data": isinstance(facts.get("data"), dict),
        "initial": isinstance(facts.get("initial"), str),
        "callbacks": isinstance(facts["callbacks"], list),
        "batches": type(facts["batches"]) is int and facts["batches"] >= 0,
        "best_epoch": facts["best_epoch"] is None or type(facts["best_epoch"]) is int,
        "stop_reason": facts["stop_reason"] is None or isinstance(facts["stop_reason"], str),
    }
    for name, held in holds.items():
        if not held:
            raise ValueError(f"its {name} is {str(facts.get(name))[:40]}")


def _form(array: Any) -> tuple[Any, ...]:
    return (tuple(array.shape), str(array.dtype)) if hasattr(array, "shape") else (type(array),)


def check_checkpoint(
    checkpoint: str | os.PathLike[str] | None, checkpoint_every: int | None, resume: bool
) -> tuple[str | None, int | None]:
    """Return the absolute path of a checkpoint and the number of batches between writes, if the three fit together."""
    every = None if checkpoint_every is None else check_number(checkpoint_every, "checkpoint_every", COUNT)
    if checkpoint is None:
        if resume or every:
            raise ValueError(
                "resume and checkpoint_every need a checkpoint: name the file, as in checkpoint='run.safetensors'."
            )
        return None, None
    path = os.path.abspath(checkpoint)
    if os.path.exists(path) and not resume:
        raise FileExistsError(
            f"{path} is there already: give resume=True to go on from it, or delete it, or name another file as checkpoint."
        )
    return path, every
