"""Convert PyTorch modules to arrays and descriptions of activations, and back.

A description holds the name and the settings of an activation: ``{"name": "leaky_relu", "negative_slope": 0.01}``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from portable_bp.backends.contract import Backend
from portable_bp.common.lookup import require

torch = require("torch", "torch")
nn = torch.nn


class Exp(nn.Module):
    """out = exp(net), for which PyTorch has no module."""

    def forward(self, net: Any) -> Any:
        """Return the exponential of net."""
        return torch.exp(net)


MODULES = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "gelu_tanh": nn.GELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softmax": nn.Softmax,
    "exp": Exp,
}
# Above a threshold PyTorch's softplus is net itself, which is off by 2e-9 at its default, 20, and by nothing at 40.
MADE_WITH = {"gelu_tanh": {"approximate": "tanh"}, "softplus": {"threshold": 40.0}, "softmax": {"dim": -1}}
SETTINGS = {"leaky_relu": ("negative_slope",), "elu": ("alpha",)}
# The settings with which a module computes the same as here, in words and as a test.
REQUIRED_SETTINGS = {
    nn.GELU: ("GELU(approximate='none') or 'tanh'", lambda module: module.approximate in ("none", "tanh")),
    nn.Softplus: (
        "Softplus(beta=1), with a threshold of 20 or more",
        lambda module: module.beta == 1 and module.threshold >= 20,
    ),
    nn.Softmax: ("Softmax(dim=-1)", lambda module: module.dim in (-1, 1)),
}
NAMES = {module: name for name, module in MODULES.items()}
SKIPPED = (nn.Identity, nn.Dropout, nn.AlphaDropout)
DTYPES = (torch.float32, torch.float64)


def read_modules(module: Any) -> tuple[list[np.ndarray], list[np.ndarray] | None, list[dict[str, Any]]]:
    """Return the weights, the biases (None if no Linear has one) and a description of each Linear's activation.

    The arrays may share memory with the module. A module that a network cannot represent is a ValueError that names it.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module is a {type(module).__name__}, and should be a torch.nn.Sequential, or a torch.nn.Linear.")
    linears, descriptions = [], []
    for place, part in _parts(module):
        if type(part) is nn.Linear:
            _check_linear(place, part, linears[0] if linears else part)
            linears.append(part)
            descriptions.append({"name": "identity"})
            continue
        description = _describe(place, part)
        if not linears:
            raise _refused(place, part, "and comes before the first Linear: apply it to the inputs yourself, and leave it out.")
        if descriptions[-1]["name"] != "identity":
            raise _refused(place, part, "and follows another activation: leave one out, or put a Linear between.")
        descriptions[-1] = description
    if not linears:
        raise ValueError("the module holds no Linear, and should hold at least one: add one.")
    biases = None if linears[0].bias is None else [_to_numpy(linear.bias) for linear in linears]
    return [_to_numpy(linear.weight) for linear in linears], biases, descriptions


def make_sequential(arrays: Mapping[str, np.ndarray], descriptions: Sequence[Mapping[str, Any]], backend: Backend) -> Any:
    """Return ``Sequential(Linear, activation, Linear, activation, ...)`` with copies of the arrays, by the names of its state.

    It is on the backend's device if that is PyTorch's, else on the CPU.
    """
    device = backend.device if backend.name == "torch" else "cpu"
    state = {name: torch.tensor(array, device=device) for name, array in arrays.items()}
    modules = []
    for number, description in enumerate(descriptions):
        weight = state[f"{2 * number}.weight"]
        bias = f"{2 * number}.bias" in state
        # The usual way to make a Linear draws weights, which would advance the random numbers of the whole process.
        linear = nn.utils.skip_init(nn.Linear, *reversed(weight.shape), bias=bias, device=device, dtype=weight.dtype)
        modules += [linear, _make(**description)]
    sequential = nn.Sequential(*modules)
    sequential.load_state_dict(state)
    return sequential


def _parts(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the Linear and activation modules of nested Sequentials, with their names; a repeated one is yielded again."""
    for place, part in module.named_modules(remove_duplicate=False):
        # A user's subclass may do something else with the modules that it holds.
        sequential = isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward
        if part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part):
            raise _refused(place, part, "and has hooks or its own forward, which a Network cannot have: remove them first.")
        if not sequential and type(part) not in SKIPPED:
            yield place, part


def _describe(place: str, module: Any) -> dict[str, Any]:
    if type(module) not in NAMES:
        known = ", ".join(dict.fromkeys(kind.__name__ for kind in MODULES.values()))
        raise _refused(place, module, f"and a Network can have only Linear, {known} and Dropout, in Sequential: use these.")
    expected, fits = REQUIRED_SETTINGS.get(type(module), ("", lambda module: True))
    if not fits(module):
        raise _refused(place, module, f"and a Network can have only {expected}: use that.")
    name = "gelu" if getattr(module, "approximate", None) == "none" else NAMES[type(module)]
    return {"name": name, **{setting: float(getattr(module, setting)) for setting in SETTINGS.get(name, ())}}


def _check_linear(place: str, linear: Any, first: Any) -> None:
    """Raise a ValueError if a Linear does not fit a network, or differs from the first in having a bias."""
    if (linear.bias is None) != (first.bias is None):
        raise _refused(place, linear, "and the first Linear differs in having a bias: give all of them one, or none.")
    for parameter in linear.parameters():
        if parameter.dtype not in DTYPES or parameter.dtype != first.weight.dtype:
            remedy = "convert it first, as with module.float()."
            raise _refused(
                place,
                linear,
                f"and holds {parameter.dtype}, and all parameters of a Network are float32, or all float64: {remedy}",
            )
        if parameter.is_meta:
            raise _refused(place, linear, "and is on the meta device, which holds no numbers: load its weights first.")


def _make(name: str, **settings: float) -> Any:
    return MODULES[name](**settings, **MADE_WITH.get(name, {}))


def _to_numpy(parameter: Any) -> np.ndarray:
    return parameter.detach().cpu().numpy()


def _refused(place: str, module: Any, reason: str) -> ValueError:
    where = f"module {place}" if place else "the module"
    return ValueError(f"{where} is {type(module).__name__}({module.extra_repr()}), {reason}")
