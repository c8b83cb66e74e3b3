"""Every formula of an explanation is true: what it says with numbers is computed again, from the LaTeX that it prints."""

import dataclasses
import re
import shutil
import subprocess

import hypothesis
import numpy as np
import pytest
import scipy.special
import scipy.stats
from hypothesis import strategies as st

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.arrays import Signal
from portable_bp.algorithm.losses import LOSSES
from portable_bp.inspection import article
from portable_bp.inspection.explanation.document import Spelled
from portable_bp.inspection.explanation.formulas import ACTIVATION_FORMULAS, LOSS_FORMULAS, filled

DIGITS = 12


# An equation in LaTeX, computed by NumPy: cdot is a product of matrices or with a number, odot one number by number.


class Value:
    def __init__(self, numbers):
        self.numbers = np.asarray(numbers, float)

    def __mul__(self, other):
        first, second = self.numbers, _plain(other)
        return Value(first * second if np.ndim(first) == 0 or np.ndim(second) == 0 else first @ second)

    def __rmul__(self, other):
        return Value(other * self.numbers)

    def __matmul__(self, other):
        assert self.numbers.shape == other.numbers.shape
        return Value(self.numbers * other.numbers)

    def __add__(self, other):
        assert self.numbers.shape == other.numbers.shape
        return Value(self.numbers + other.numbers)

    def __sub__(self, other):
        assert self.numbers.shape == other.numbers.shape
        return Value(self.numbers - other.numbers)


def _plain(value):
    return value.numbers if isinstance(value, Value) else value


def _function(name):
    def call(argument):
        columns = ACTIVATIONS[name]().value(_plain(argument).T)
        return Value(columns.T)

    return call


FUNCTIONS = {name: _function(name) for name in ACTIVATIONS}
NUMBER = re.compile(r"(?:[\d.]+(?:e-?\d+)?)")


def computed(side):
    """Return what a side of an equation comes to, or None if there are symbols in it."""
    side = re.sub(r"([\d.]+) \\cdot 10\^\{(-?\d+)\}", r"\1e\2", side)
    side = re.sub(
        r"\\begin\{bmatrix\} (.*?) \\end\{bmatrix\}",
        lambda found: f"Value([{', '.join('[' + row.replace('&', ',') + ']' for row in found[1].split(chr(92) * 2))}])",
        side,
    )
    side = re.sub(r"\\mathrm\{([a-z]+(?:\\_[a-z]+)*)\}\\left\(", lambda found: found[1].replace("\\", "") + "(", side)
    side = re.sub(r"\\tfrac\{(\d+)\}\{(\d+)\}", r"(\1/\2)", side)
    side = side.replace("\\left(", "(").replace("\\right)", ")").replace("\\cdot", "*").replace("\\odot", "@")
    side = side.replace("^2", "**2").replace(") (", ") * (").replace("(1/2) (", "(1/2) * (")
    side = re.sub(r"\(1/2\) ?\(", "(1/2) * (", side)
    words = set(re.findall(r"[A-Za-z_]+|\\[a-z]+", re.sub(NUMBER, "0", side)))
    if not words <= {"Value", *FUNCTIONS} or re.search(r"[\\{}]", side):
        return None
    return _plain(eval(side, {"Value": Value, **FUNCTIONS}))


def equations(latex):
    """Return the sides of each equation."""
    for body in re.findall(r"\\\[(.*?)\\\]", latex, re.DOTALL):
        aligned = re.fullmatch(r"\\begin\{aligned\}\n(.*)\n\\end\{aligned\}", body, re.DOTALL)
        lines = aligned[1].split(" \\\\\n") if aligned else [body]
        yield re.split(r" ?= ", " ".join(re.sub(r"^&(\\quad )?|&(?== )", "", line) for line in lines))


def check(latex, tolerance):
    """Compare all sides with numbers of each equation, and return how many are equal."""
    compared = 0
    for sides in equations(latex):
        values = [value for value in map(computed, sides) if value is not None]
        for value in values[1:]:
            np.testing.assert_allclose(np.squeeze(values[0]), np.squeeze(value), rtol=tolerance, atol=tolerance)
            compared += 1
    return compared


def article_network():
    return bp.Network.from_weights(article.WEIGHTS, backend="numpy", dtype="float64")


def test_the_article_s_numbers_are_in_its_explanation():
    text = article_network().trace(article.INPUTS, article.TARGET, decimals=4).to_text()
    correct = {f"{name}{place}": number for name, row in article.PRINTED.items() for place, number in enumerate(row, start=1)}
    correct |= article.MISPRINTS
    assert len(correct) == 18
    for letter, weights in zip("bcd", article.WEIGHTS, strict=True):
        for name in ("net", "out"):
            column = [correct[f"{name}_{letter}{place}"] for place in range(1, len(weights) + 1)]
            decimals = 1 if column == [0.1, 0.3, 0.5, 0.7] else 4
            lines = [f"[{number:.{decimals}f}]" for number in column]
            assert re.search(r"(?s)" + r"[^\n]*\n[^\n]*".join(map(re.escape, lines)), text), (letter, name)
    # The article's formula (3), with its numbers, and the error.
    assert "dE/dw_d1 = dE/dout_d1 * dout_d1/dnet_d1 * dnet_d1/dw_d1" in text
    assert "dE/dw_d1 = ( out_d1 - target_d1 ) * ( out_d1 * (1 - out_d1) ) * out_c1" in text
    assert "dE/dw_d1 = 0.7199 * 0.2016 * 0.6876 = 0.0998" in text
    assert "1/2 * (0 - 0.7199)^2 + 1/2 * (1 - 0.8375)^2 = 0.2723" in text


def evaluated(text, **numbers):
    """Return what a formula in text comes to: Python, but for powers and what follows a comma."""
    text = re.sub(r", (else)", r" \1", text).partition(", where ")[0].partition(", clipped")[0]
    text = re.sub(r"e\^(\([^()]*\)|\w+)", r"exp(\1)", text).replace("^", "**")
    names = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "pi": np.pi, "sign": np.sign, "abs": abs}
    names |= {"Phi": scipy.stats.norm.cdf, "phi": scipy.stats.norm.pdf, "s": scipy.special.expit, "max": max, "min": min}
    return eval(text, names | numbers)


@pytest.mark.parametrize("kind", [kind for kind in ACTIVATION_FORMULAS if kind.__name__ != "Softmax"])
@pytest.mark.parametrize("net", [-1.7, -0.3, 0.4, 2.2])
def test_the_formulas_of_activations_are_true(kind, net):
    activation, known = kind(), ACTIVATION_FORMULAS[kind]
    out = activation.value(np.array([net]))
    value = filled(known.value, activation, x=Spelled("x", "x")).text
    np.testing.assert_allclose(evaluated(value, x=net), out[0], rtol=1e-12)
    if kind.__name__ != "GELUTanh":  # whose derivative is only named
        derivative = filled(known.derivative, activation, net=Spelled("net", "net"), out=Spelled("out", "out")).text
        exact = activation.delta(np.ones(1), Signal(np.array([net]), out))[0]
        np.testing.assert_allclose(evaluated(derivative, net=net, out=out[0]), exact, rtol=1e-12)


@pytest.mark.parametrize("kind", list(LOSS_FORMULAS))
@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("out", [0.25, 0.9])
def test_the_formulas_of_losses_are_true(kind, out, target):
    loss, known = kind(), LOSS_FORMULAS[kind]
    # A cross-entropy takes the net of its probability; the net of the other class is zero.
    given = np.array([[np.log(out / (1.0 - out))]]) if hasattr(loss, "output_activation") else np.array([[out]])
    if kind.__name__ == "CrossEntropy":
        given, rows = np.array([[given[0, 0], 0.0]]), np.array([[target, 1.0 - target]])
        outs, targets = [out, 1.0 - out], rows[0]
    else:
        rows, outs, targets = np.array([[target]]), [out], [target]
    spelled = {name: Spelled(name, name) for name in ("out", "target")}
    value, slope = (filled(pattern, loss, **spelled).text for pattern in known)
    miss = {"m": target - out if kind.__name__ == "Quantile" else abs(target - out)}
    terms = [
        evaluated(value, out=o, target=t, d=min(miss["m"], 1.0), **miss) if t or kind.__name__ != "Poisson" else o
        for o, t in zip(outs, targets, strict=True)
    ]  # 0 * log(0) counts as 0
    np.testing.assert_allclose(sum(terms), loss.value(given, rows)[0], rtol=1e-12)
    slopes = [evaluated(slope, out=o, target=t) for o, t in zip(outs, targets, strict=True)]
    np.testing.assert_allclose(slopes, loss.slope(given, rows)[0], rtol=1e-12)


def test_a_hidden_weight_is_a_sum_over_all_paths():
    text = article_network().trace(article.INPUTS, article.TARGET).to_text()
    assert "It reaches the error along 2 paths." in text and "It reaches the error along 6 paths." in " ".join(text.split())
    paths = re.findall(r"dE/dout_d(\d) \* dout_d\1/dnet_d\1 \* w_d(\d) \* dout_c(\d)/dnet_c\3 \* w_c(\d+) \*", text)
    # w_d numbers along rows of three, w_c along rows of four; w_b1 leads to b_1.
    expected = {(str(d), str(3 * (d - 1) + c), str(c), str(4 * (c - 1) + 1)) for d in (1, 2) for c in (1, 2, 3)}
    assert len(paths) == 6 and set(paths) == expected
    # 8 weights of b with 6 paths each, 12 of c with 2, 6 of d with 1.
    assert "the gradients of all 26 weights are sums of 78 products" in " ".join(text.split())
    assert "there are 9 deltas" in text


@st.composite
def cases(draw):
    """Draw a network, samples and targets that suit a loss."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    loss = draw(st.sampled_from(sorted(LOSSES)))
    hidden = [draw(st.sampled_from(sorted(ACTIVATIONS))) for _ in sizes[1:-1]]
    if loss == "cross_entropy":
        sizes[-1] = max(sizes[-1], 2)
    last = {"cross_entropy": ["softmax", "identity"], "binary_cross_entropy": ["sigmoid", "identity"]}.get(loss)
    last = last or (["exp", "softplus"] if loss == "poisson" else sorted(ACTIVATIONS))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    samples = draw(st.integers(1, 3))
    x = generator.normal(size=(samples, sizes[0]))
    target = generator.uniform(0.1, 0.9, size=(samples, sizes[-1]))
    if loss == "cross_entropy":
        target = generator.integers(0, sizes[-1], size=samples)
    network = bp.Network(
        sizes,
        [*hidden, draw(st.sampled_from(last))],
        bias=draw(st.booleans()),
        backend="numpy",
        dtype="float64",
        seed=generator,
    )
    return network, x, target, loss


@hypothesis.given(case=cases(), rate=st.sampled_from([0.01, 0.5]))
def test_every_equation_is_true(case, rate):
    network, x, target, loss = case
    trace = network.trace(x, target, loss)
    latex = trace.to_latex(rate, decimals=DIGITS)
    layers = len(network.layers)
    assert check(latex, 1e-7) >= 4 * layers
    # The error and the update, as training does them.
    network.fit(x, target, loss, learning_rate=rate)
    (after,) = re.findall(r"the same inputs give an error of (\S+); before", latex.replace("\n", " "))
    (before,) = re.findall(r"the step it was (\S+)\.(?: |$)", latex.replace("\n", " "))
    np.testing.assert_allclose(float(before), network.history.loss[0], rtol=1e-6)
    np.testing.assert_allclose(float(after), network.loss(x, target, loss), rtol=1e-6, atol=1e-9)


def test_a_false_equation_would_be_found():
    latex = article_network().trace(article.INPUTS, article.TARGET).to_latex(decimals=DIGITS)
    assert check(latex, 1e-9) > 20
    number = next(number for number in re.findall(r"\d\.\d{12}", latex))
    assert number == "0.524979187479"  # out_b1
    with pytest.raises(AssertionError):
        check(latex.replace(number, "0.534979187479", 1), 1e-9)


def test_rounding_by_hand_is_followed_to_the_last_digit():
    trace = article_network().trace(article.INPUTS, article.TARGET, decimals=4)
    # Each result is rounded, so each equation holds to half of the last digit; a delta is a product of rounded factors.
    assert check(trace.to_latex(), 1.01e-4) > 20
    assert "is rounded to 4 decimals" in trace.to_text()
    assert re.search(r"\d\.\d{5}", trace.to_text()) is None


def test_all_backends_explain_the_same(on_target):
    network = bp.Network.from_weights(
        article.WEIGHTS, [[0.1] * 4, [0.2] * 3, [0.3] * 2], ["tanh", "gelu", "softmax"], backend=on_target.flag, dtype="float64"
    )
    x, target = [[1.0, 0.5], [0.25, -1.0]], [[0.0, 1.0], [1.0, 0.0]]
    expected = network.to("numpy").trace(x, target, "cross_entropy").to_text()
    assert network.trace(x, target, "cross_entropy").to_text() == expected


class Cubed_Net:  # noqa: N801 - the underscore matters
    """An activation of the user's own."""

    def value(self, net):
        return net**3

    def delta(self, slope, signal):
        return slope * 3.0 * signal.net**2


def quartic(out, target):
    return ((out - target) ** 4).sum(axis=-1)


def quartic_slope(out, target):
    return 4.0 * (out - target) ** 3


def test_a_custom_piece_is_shown_by_its_name():
    network = bp.Network([2, 3, 1], Cubed_Net(), "identity", backend="numpy", dtype="float64", seed=0)
    trace = network.trace([1.0, 2.0], [1.0], (quartic, quartic_slope))
    text, latex = trace.to_text(), trace.to_latex(decimals=DIGITS)
    assert "Cubed_Net(net_b)" in text and "quartic(out_c, target)" in text and "Cubed_Net'(net_b)" in text
    assert r"\mathrm{Cubed\_Net}" in latex and "Cubed\\_Net" in trace.to_markdown()
    assert check(latex, 1e-6) > 5
    nameless = network.trace([1.0, 2.0], [1.0], (lambda out, target: quartic(out, target), quartic_slope))
    assert "custom(out_c, target)" in nameless.to_text()


def test_a_layer_whose_outs_depend_on_each_other_has_no_paths():
    network = bp.Network([2, 3, 2], "softmax", "identity", backend="numpy", dtype="float64", seed=0)
    trace = network.trace([1.0, 2.0], [1.0, 0.0])
    text = " ".join(trace.to_text().split())
    assert "not a sum over single paths" in text and "reaches the error" not in text
    assert check(trace.to_latex(decimals=DIGITS), 1e-8) > 10


@pytest.mark.parametrize("output", ["identity", Cubed_Net()])
def test_a_loss_that_makes_probabilities_itself(output):
    network = bp.Network([2, 3, 2], "tanh", output, backend="numpy", dtype="float64", seed=0)
    trace = network.trace([[1.0, 2.0], [0.5, -1.0]], [0, 1], "cross_entropy")
    text, latex = trace.to_text(), trace.to_latex(decimals=DIGITS)
    assert "p_c = softmax(out_c)" in text and "log(p_c)" in text
    assert ("dE/dnet_c" in text) is (output == "identity")
    assert check(latex, 1e-8) > 10


def test_large_matrices_are_abbreviated():
    network = bp.Network([784, 128, 10], "relu", "softmax", backend="numpy", seed=0)
    generator = np.random.default_rng(0)
    trace = network.trace(generator.normal(size=(32, 784)), generator.integers(0, 10, 32), "cross_entropy")
    text = trace.to_text()
    assert len(text) < 30_000 and len(trace.to_latex()) < 60_000
    weight = network.layers[0].weight
    shown = f"W_b is 128 x 784, from {weight.min():.4f} to {weight.max():.4f}, mean"
    assert shown in " ".join(text.split())
    assert max(map(len, text.splitlines())) < 160


def test_a_dead_neuron_is_not_the_example():
    network = bp.Network.from_weights(
        [[[-1.0], [1.0]], [[1.0, 1.0]]], None, "relu", "identity", backend="numpy", dtype="float64"
    )
    text = network.trace([2.0], [1.0]).to_text()
    assert "dE/dw_c2 = 1 * 1 * 2 = 2" in text and "w_b2 changes the out of b_2" in text


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_numbers_keep_their_digits_whatever_their_size(scale):
    network = bp.Network.from_weights([[[0.123456 * scale]]], None, "identity", backend="numpy", dtype="float64")
    text = network.trace([1.0], [0.0]).to_text()
    shown = {1e-9: "1.235e-10", 1.0: "0.1235", 1e9: "1.235e+08"}[scale]
    assert f"W_b = [w_b1] = [{shown}]" in text


def test_no_decimals_are_no_exponents():
    network = bp.Network.from_weights([[[1.0, 2.0]]], None, "identity", backend="numpy", dtype="float64")
    text = network.trace([0.5, 1.0], [0.0]).to_text(decimals=0)
    assert "W_b = [w_b1  w_b2] = [1  2]" in text and "e-" not in text


def test_a_small_slope_does_not_hide_that_outs_depend_on_each_other():
    class Mixing:
        value = staticmethod(lambda net: bp.activations.Softmax().value(net))
        delta = staticmethod(lambda slope, signal: bp.activations.Softmax().delta(slope, signal))

    network = bp.Network([2, 3, 1], Mixing(), "identity", backend="numpy", dtype="float64", seed=0)
    close = network.predict([1.0, 2.0]) + 1e-7
    text = " ".join(network.trace([1.0, 2.0], close).to_text().split())
    assert "not a sum over single paths" in text


def test_an_activation_that_cannot_be_hashed():
    @dataclasses.dataclass
    class Scaled:
        factor: float = 2.0

        def value(self, net):
            return self.factor * net

        def delta(self, slope, signal):
            return self.factor * slope

    network = bp.Network([2, 3, 1], Scaled(), backend="numpy", seed=0)
    assert "Scaled(net_b)" in network.trace([1.0, 2.0], [1.0]).to_text()


def test_infinite_numbers_are_shown_as_such():
    network = bp.Network.from_weights([[[1e300]]], None, "exp", backend="numpy", dtype="float64")
    trace = network.trace([1.0], [0.0])
    assert "[inf]" in trace.to_text() and r"\infty" in trace.to_latex()


@pytest.mark.parametrize("name", ["learning_rate", "decimals"])
@pytest.mark.parametrize("form", ["to_text", "to_markdown", "to_latex", "to_html"])
def test_wrong_arguments_are_told(form, name):
    trace = article_network().trace(article.INPUTS, article.TARGET)
    with pytest.raises(ValueError, match=f"{name} is -1"):
        getattr(trace, form)(**{name: -1})


def test_a_trace_says_what_it_is():
    trace = article_network().trace([[1.0, 0.0]] * 2, [[0.0, 1.0]] * 2)
    assert repr(trace) == "<Trace of a 2-4-3-2 network, 2 samples, E_total 0.272335>"


def test_markdown_has_the_formulas_of_latex():
    trace = article_network().trace(article.INPUTS, article.TARGET)
    markdown, latex = trace.to_markdown(), trace.to_latex()
    shown = re.findall(r"\$\$\n(.*?)\n\$\$", markdown, re.DOTALL)
    assert shown == re.findall(r"\\\[(.*?)\\\]", latex, re.DOTALL) and len(shown) > 30
    assert markdown.startswith("# Backpropagation through a 2-4-3-2 network") and markdown.count("$$") % 2 == 0
    prose = re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\\.", "", markdown, flags=re.DOTALL)
    assert not re.search(r"[$_*<>{}]", prose.replace("#", ""))


def test_given_numbers_that_are_shown_rounded_are_told():
    weights = [[[0.123456, 0.2]]]
    trace = bp.Network.from_weights(weights, backend="numpy", dtype="float64").trace([1.0, 2.0], [1.0], decimals=3)
    text = " ".join(trace.to_text().split())
    assert "rounded only where it is shown, and so are the given numbers." in text
    assert "and so are the given numbers" not in article_network().trace(article.INPUTS, article.TARGET, decimals=4).to_text()


def test_a_page_of_a_huge_network_is_refused():
    trace = bp.Network([784, 512, 10], backend="numpy", seed=0).trace(np.zeros(784), np.zeros(10))
    with pytest.raises(ValueError, match="407,050 weights and nets, and a page holds 200,000"):
        trace.to_html()


def test_latex_compiles(tmp_path):
    compiler = shutil.which("pdflatex")
    if compiler is None:
        pytest.skip("pdflatex is not installed")
    network = bp.Network([12, 3, 2], Cubed_Net(), "softmax", backend="numpy", seed=0)
    generator = np.random.default_rng(0)
    foreign = type("Überaktivierung", (Cubed_Net,), {})()
    traces = [
        bp.Network([1, 1], foreign, foreign, backend="numpy", seed=0).trace([1.0], [0.0]),
        article_network().trace(article.INPUTS, article.TARGET, decimals=4),
        network.trace(generator.normal(size=(9, 12)), generator.integers(0, 2, 9), "cross_entropy"),
    ]
    for trace in traces:
        (tmp_path / "trace.tex").write_text(trace.to_latex())
        done = subprocess.run(
            [compiler, "-interaction=nonstopmode", "-halt-on-error", "trace.tex"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Overfull" not in done.stdout and (tmp_path / "trace.pdf").stat().st_size > 10_000
