"""Independent implementations to compare with: PyTorch's activations, losses and autograd."""

import numpy as np

LOSS_OF_COUNTS = "poisson"
ACTIVATIONS = [
    "identity",
    "sigmoid",
    "tanh",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "gelu_tanh",
    "silu",
    "softplus",
    "softmax",
    "exp",
]
LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson", "binary_cross_entropy", "cross_entropy"]


def torch_activation(name):
    import torch
    from torch.nn import functional

    return {
        "identity": lambda net: net,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": torch.relu,
        "leaky_relu": functional.leaky_relu,
        "elu": functional.elu,
        "gelu": functional.gelu,
        "gelu_tanh": lambda net: functional.gelu(net, approximate="tanh"),
        "silu": functional.silu,
        "softplus": lambda net: functional.softplus(net, threshold=1e9),
        "softmax": lambda net: torch.softmax(net, dim=-1),
        "exp": torch.exp,
    }[name]


def torch_loss(name, out, target):
    """Return PyTorch's loss for each sample."""
    import torch
    from torch.nn import functional

    none = {"reduction": "none"}
    if name == "cross_entropy":
        return functional.cross_entropy(out, target, **none)
    rows = {
        "squared_error": lambda: 0.5 * functional.mse_loss(out, target, **none),
        "absolute_error": lambda: functional.l1_loss(out, target, **none),
        "huber": lambda: functional.huber_loss(out, target, **none),
        "quantile": lambda: torch.where(target > out, 0.5 * (target - out), 0.5 * (out - target)),
        "poisson": lambda: (
            functional.poisson_nll_loss(out, target, log_input=False, eps=0.0, **none) + torch.xlogy(target, target) - target
        ),
        "binary_cross_entropy": lambda: functional.binary_cross_entropy_with_logits(out, target, **none),
    }[name]()
    return rows.sum(dim=-1)


def torch_gradient(layers, activations, loss, inputs, target, sample_weight=None):
    """Return PyTorch's error, its gradient for every (weight, bias), and that for the inputs, as NumPy arrays."""
    import torch

    parameters = [[None if part is None else torch.tensor(part, requires_grad=True) for part in layer] for layer in layers]
    given = torch.tensor(inputs, requires_grad=True)
    out = given
    for (weight, bias), activation in zip(parameters, activations, strict=True):
        out = torch_activation(activation)(torch.nn.functional.linear(out, weight, bias))
    errors = torch_loss(loss, out, torch.tensor(target))
    share = torch.ones_like(errors) if sample_weight is None else torch.tensor(sample_weight)
    error = (errors * share).sum() / share.sum()
    error.backward()
    gradient = [[None if part is None else part.grad.numpy() for part in layer] for layer in parameters]
    return error.item(), gradient, given.grad.numpy()


def draw_target(loss, generator, samples, outputs, classes=True):
    """Draw random targets that are valid for a loss."""
    if loss == "cross_entropy":
        numbers = generator.integers(outputs, size=samples)
        return numbers if classes else np.eye(outputs)[numbers]
    if loss == "poisson":
        return generator.poisson(2.0, size=(samples, outputs)).astype(float)
    if loss == "binary_cross_entropy":
        return generator.integers(2, size=(samples, outputs)).astype(float)
    return generator.normal(size=(samples, outputs))


def relative_distance(found, expected, smallest_scale=0.0):
    """Return the largest difference between two gradients, relative to the largest expected slope.

    Where slopes are what is left of larger ones that cancel, as in a softmax, smallest_scale is what they are measured by.
    """
    pairs = [
        (mine, theirs)
        for layer, other in zip(found, expected, strict=True)
        for mine, theirs in zip(layer, other, strict=True)
        if theirs is not None
    ]
    scale = max(smallest_scale, *(float(np.abs(theirs).max()) for _, theirs in pairs))
    distance = float(np.max([np.abs(mine - theirs).max() for mine, theirs in pairs]))  # a NaN anywhere stays NaN
    return distance / scale if scale else distance
