"""The command `portable-bp check-gradient` reports each layer of a model, and exits with 1 if the gradient is wrong."""

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.cli import main
from tests.support.oracles import LOSSES


def saved(tmp_path, *arguments, loss=None, **options):
    """Save a network, trained for one epoch if there is a loss, and return the path of its file."""
    network = bp.Network(*arguments, backend="numpy", seed=0, **options)
    if loss is not None:
        network.fit(np.ones((3, network.sizes[0])), np.ones((3, network.sizes[-1])), loss)
    path = tmp_path / "model.safetensors"
    network.save(path)
    return str(path)


def test_each_layer_is_reported(tmp_path, capsys):
    assert main(["check-gradient", saved(tmp_path, [3, 5, 4, 2], "tanh"), "--samples", "7"]) == 0
    first, _, header, *lines, _, verdict = capsys.readouterr().out.splitlines()
    assert first == "<Network 3-5-4-2, Tanh, Tanh, Identity, numpy on cpu>; squared_error of 7 random samples, in float64."
    assert header.startswith("layer")
    assert [(line.split()[0], line.split()[-1]) for line in lines] == [("b", "agrees"), ("c", "agrees"), ("d", "agrees")]
    assert verdict.startswith("The gradient agrees with finite differences to ")


@pytest.mark.parametrize(("loss", "output"), [("poisson", "exp"), ("huber", "identity"), ("binary_cross_entropy", "sigmoid")])
def test_the_loss_is_the_model_s(tmp_path, capsys, loss, output):
    assert main(["check-gradient", saved(tmp_path, [3, 5, 2], "tanh", output, loss=loss)]) == 0
    assert f"; {loss} of 20 random samples" in capsys.readouterr().out


@pytest.mark.parametrize("loss", LOSSES)
def test_targets_suit_the_loss(tmp_path, capsys, loss, recwarn):
    outputs = {"poisson": "softplus", "cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}
    path = saved(tmp_path, [3, 5, 4], "silu", outputs.get(loss, "identity"))
    assert main(["check-gradient", path, "--loss", loss]) == 0
    assert f"; {loss} of 20" in capsys.readouterr().out
    assert not recwarn.list


def test_a_seed_repeats_the_check(tmp_path, capsys):
    path = saved(tmp_path, [3, 5, 2], "tanh")
    shown = []
    for seed in ("1", "1", "2"):
        assert main(["check-gradient", path, "--samples", "1", "--seed", seed]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]
    assert "1 random sample, in" in shown[0]


def test_a_wrong_gradient_exits_with_1(tmp_path, capsys, monkeypatch):
    path = saved(tmp_path, [3, 5, 4, 2], "tanh")
    monkeypatch.setattr(bp.activations.Tanh, "delta", lambda self, slope, signal: slope * (1.0 - signal.out))
    assert main(["check-gradient", path]) == 1
    shown = capsys.readouterr().out
    assert "differs at" in shown
    assert "The delta of activation tanh (layers b, c) is not the derivative of its value: at net " in shown


class Cube:
    def value(self, net):
        return net**3

    def delta(self, slope, signal):
        return slope * 3.0 * signal.net**2


@pytest.mark.parametrize(
    ("network", "arguments", "message"),
    [
        (
            ([2, 3, 1], Cube()),
            [],
            "custom activations (tests.cli.test_check_gradient.Cube), and a file cannot hold their code: load",
        ),
        (([2, 3, 1],), ["--loss", "cross_entropy"], "has 1 output, and CrossEntropy needs an output for each class"),
        (([2, 3, 2],), ["--loss", "poisson"], "Identity, whose values may be negative, and Poisson takes positive ones"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_exits_with_2(tmp_path, capsys, network, arguments, message):
    assert main(["check-gradient", saved(tmp_path, *network), *arguments]) == 2
    output = capsys.readouterr()
    assert not output.out
    (line,) = output.err.splitlines()
    assert line.startswith("portable-bp: ") and message in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.safetensors"], "none.safetensors cannot be used (No such file or directory)"),
        (["model.safetensors", "--samples", "0"], "'0' is not an integer of at least 1"),
        (["model.safetensors", "--seed", "-1"], "'-1' is not an integer of at least 0"),
        (["model.safetensors", "--loss", "mse"], "invalid choice: 'mse'"),
        ([], "required: MODEL"),
    ],
)
def test_wrong_arguments_exit_with_2(arguments, message, capsys):
    try:
        code = main(["check-gradient", *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2 and message in capsys.readouterr().err
