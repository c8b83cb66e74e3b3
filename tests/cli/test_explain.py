"""`portable-bp explain` works backpropagation through any network, in any format; wrong options are told in one sentence."""

import webbrowser

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.cli import main
from portable_bp.inspection import article


def run(capsys, *options):
    code = main(["explain", *map(str, options)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_without_options_it_is_the_article_s_example(capsys):
    code, out, err = run(capsys)
    assert code == 0 and err == ""
    network = bp.Network.from_weights(article.WEIGHTS, backend="numpy", dtype="float64")
    assert out == network.trace(article.INPUTS, article.TARGET, decimals=4).to_text()


def test_the_example_leads_on_to_it(capsys):
    assert main(["example"]) == 0
    assert "portable-bp explain" in capsys.readouterr().out.splitlines()[-1]


def test_a_new_network_with_samples_of_the_user_s(capsys):
    code, out, err = run(
        *(capsys, "--sizes", "2,3,1", "--activation", "tanh,sigmoid", "--loss", "binary_cross_entropy", "--seed", 3),
        *("--input", "-1,0.5", "--input", "1,2", "--target", "0", "--target", "1", "--learning-rate", "2", "--decimals", "3"),
    )
    assert code == 0 and err == ""
    drawn = bp.Network([2, 3, 1], ["tanh", "sigmoid"], backend="numpy", dtype="float64", seed=3)
    weights = [layer.weight.round(2) for layer in drawn.layers]
    network = bp.Network.from_weights(
        weights, [layer.bias for layer in drawn.layers], ["tanh", "sigmoid"], backend="numpy", dtype="float64"
    )
    trace = network.trace([[-1.0, 0.5], [1.0, 2.0]], [[0.0], [1.0]], "binary_cross_entropy", decimals=3)
    assert out == trace.to_text(learning_rate=2.0)


def test_what_is_assumed_is_told(capsys):
    code, _, err = run(capsys, "--sizes", "3,4,3", "--activation", "relu,softmax", "--loss", "cross_entropy")
    assert code == 0
    assert err.splitlines() == [
        "portable-bp: --input is not given: using 1,0,1.",
        "portable-bp: --target is not given: using 0,1,0.",
    ]


def test_a_model_file_with_the_loss_that_it_was_trained_with(capsys, tmp_path):
    pytest.importorskip("safetensors")
    network = bp.Network([2, 3, 2], "tanh", "softmax", backend="numpy", seed=0)
    network.fit(np.eye(2), [0, 1], "cross_entropy")
    network.save(tmp_path / "model.safetensors")
    code, out, _ = run(capsys, "--model", tmp_path / "model.safetensors", "--input", "1,0", "--target", "1,0")
    assert code == 0
    assert out == network.trace([[1.0, 0.0]], [[1.0, 0.0]], "cross_entropy").to_text()


@pytest.mark.parametrize(
    ("suffix", "method"), [(".txt", "to_text"), (".md", "to_markdown"), (".tex", "to_latex"), (".html", "to_html")]
)
def test_the_name_of_the_file_tells_the_format(capsys, tmp_path, suffix, method):
    if suffix == ".html":
        pytest.importorskip("jinja2")
    path = tmp_path / f"explanation{suffix}"
    code, out, _ = run(capsys, "-o", path)
    assert code == 0 and out == f"Written: {path}.\n"
    network = bp.Network.from_weights(article.WEIGHTS, backend="numpy", dtype="float64")
    assert path.read_text() == getattr(network.trace(article.INPUTS, article.TARGET, decimals=4), method)()


@pytest.mark.parametrize("named", [False, True])
def test_open_shows_the_page(capsys, tmp_path, monkeypatch, named):
    pytest.importorskip("jinja2")
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    options = ["-o", tmp_path / "page.html"] if named else []
    code, out, _ = run(capsys, "--open", *options)
    (path,) = tmp_path.iterdir()
    assert code == 0 and opened == [path.as_uri()] and out == f"Written: {path}.\n"
    assert "<html" in path.read_text()


def test_an_interrupted_browser_leaves_the_page(capsys, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")

    def interrupt(address):
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", interrupt)
    path = tmp_path / "page.html"
    code, _, error = run(capsys, "--open", "-o", path)
    assert code == 130 and error == f"portable-bp: interrupted; {path} was written.\n"
    assert "<html" in path.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "1"], "--input 1 has 1 number, and the network has 2 inputs: give 2."),
        (["--target", "1,2,3"], "--target 1,2,3 has 3 numbers, and the network has 2 outputs: give 2."),
        (["--sizes", "2,1", "--target", "1,2"], "--target 1,2 has 2 numbers, and the network has 1 output: give 1."),
        (
            ["--input", "1,0", "--input", "0,1", "--target", "0,1"],
            "--input is given 2 times, and --target once: give one target",
        ),
        (["--sizes", "3"], "sizes is [3], and should be at least two whole numbers"),
        (["--activation", "sigmoidal"], "did you mean 'sigmoid'?"),
        (["--activation", "tanh,tanh"], "activation has 2 entries, and the network has 3 layers above its inputs"),
        (["--loss", "mse"], "unknown loss 'mse'"),
        (["--loss", "cross_entropy"], "the output layer's activation is Sigmoid, and CrossEntropy takes the raw net"),
        (["--model", "m.safetensors", "--sizes", "2,1"], "leave --sizes and --activation out"),
        (["--seed", "1"], "--seed is for a new network: give its --sizes too."),
        (["--model", "missing.safetensors"], "missing.safetensors cannot be used (No such file or directory)"),
        (["-o", "explanation.pdf"], "explanation.pdf should end in .txt or .md or .tex or .html"),
        (["-o", "explanation.md", "--format", "latex"], "explanation.md should end in .tex"),
        (["--open", "--format", "text"], "--open shows a page, and the format is text"),
        (["--open", "-o", "explanation.md"], "explanation.md should end in .html"),
        (["--backend", "numpyy"], "numpy"),
    ],
)
def test_wrong_options_are_told(capsys, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *options)
    (line,) = [line for line in err.splitlines() if " is not given: using " not in line]
    assert code == 2 and out == "" and message in line and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--input", "1,x"], "'1,x' is not a list of numbers separated by commas, such as 1,0"),
        (["--input", "1,nan"], "'1,nan' is not a list of numbers"),
        (["--learning-rate", "0"], "'0' is not a number above 0"),
        (["--decimals", "-1"], "'-1' is not an integer between 0 and 15"),
    ],
)
def test_words_that_are_no_numbers_are_told(capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        main(["explain", *options])
    assert ended.value.code == 2 and message in capsys.readouterr().err
