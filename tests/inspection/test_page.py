"""The page of a trace, opened in headless Chromium: its arithmetic is Python's, and all that it offers works."""

import dataclasses
import functools
import importlib
import json
import shutil

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS, ELU, LeakyReLU
from portable_bp.algorithm.losses import LOSSES, Huber, Quantile
from portable_bp.inspection import article
from portable_bp.inspection.explanation.page import page_data, render_page
from portable_bp.inspection.explanation.worked import work
from tests.support.targets import names_in

REQUIRED = "chromium" in names_in("PORTABLE_BP_REQUIRE")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
    "--disable-sync"
)


def optional(module):
    return importlib.import_module(module) if REQUIRED else pytest.importorskip(module)


optional("jinja2")
sync_api = optional("playwright.sync_api")


def article_network(weights=article.WEIGHTS, activation="sigmoid"):
    return bp.Network.from_weights(weights, activation=activation, backend="numpy", dtype="float64")


def page_of(network, inputs, target, loss="squared_error", decimals=None, learning_rate=0.5):
    return render_page(work(network.trace(inputs, target, loss, decimals), learning_rate), 4)


ARTICLE = page_of(article_network(), article.INPUTS, article.TARGET, decimals=4)
EXACT = page_of(article_network(), article.INPUTS, article.TARGET)


def batch_page(hidden="tanh", sizes=(3, 5, 4, 3), seed=0):
    generator = np.random.default_rng(seed)
    network = bp.Network(sizes, hidden, "softmax", backend="numpy", dtype="float64", seed=seed)
    inputs, classes = generator.normal(size=(3, sizes[0])), generator.integers(0, sizes[-1], 3)
    return page_of(network, inputs, classes, "cross_entropy")


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed, which this needs")
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())


@pytest.fixture(scope="module")
def contexts():
    """The contexts of the browser by width and color scheme: a new page in one of them is faster than a new context."""
    return {}


@pytest.fixture
def open_page(browser, contexts):
    """Open HTML in a new page; at the end, no page may have complained or asked the network for anything."""
    pages, complaints = [], []

    def open_html(html, width=1280, height=900, color_scheme="light"):
        if (width, color_scheme) not in contexts:
            size = {"width": width, "height": height}
            contexts[width, color_scheme] = browser.new_context(viewport=size, color_scheme=color_scheme)
        page = contexts[width, color_scheme].new_page()
        pages.append(page)
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.set_content(html)
        return page

    yield open_html
    for page in pages:
        page.close()
    assert complaints == []


def state(page):
    return json.loads(page.evaluate("JSON.stringify(backpropagation.state)"))


def walk(page):
    """Go through all steps with the button, and return the content of each by its title."""
    return page.evaluate(
        """() => {
            const seen = {}, step = document.getElementById("step"), next = document.getElementById("next");
            for (;;) {
                seen[step.querySelector("h3").textContent] = step.textContent;
                if (next.disabled) return seen;
                next.click();
                if (document.documentElement.scrollWidth > innerWidth) throw new Error("the page scrolls sideways");
            }
        }"""
    )


def title(page):
    return page.text_content("#step h3")


def assert_equal(actual, expected, name=""):
    """Compare numbers, or nested lists of them, to 1e-9."""
    np.testing.assert_allclose(np.array(actual, float), np.array(expected, float), rtol=1e-9, atol=1e-9, err_msg=name)


# The arithmetic.


def random_examples():
    """Worked examples of random networks, with every activation in a hidden layer and every loss, rounded or not."""
    generator = np.random.default_rng(0)
    for number, (hidden, loss) in enumerate((hidden, loss) for hidden in ACTIVATIONS for loss in LOSSES):
        sizes = [*generator.integers(1, 5, generator.integers(2, 4)).tolist(), 2 if loss == "cross_entropy" else 1 + number % 3]
        samples, decimals = 1 + number % 3, [None, None, 4, 6][number % 4]
        activations = [hidden, *generator.choice(list(ACTIVATIONS), len(sizes) - 2).tolist()]
        outputs = [each for each in ACTIVATIONS if suits(each, loss)]
        output = outputs[number % len(outputs)]
        network = bp.Network(sizes, activations, output, bias=number % 5 > 0, backend="numpy", dtype="float64", seed=number)
        target = generator.uniform(size=(samples, sizes[-1]))
        if loss == "cross_entropy":
            target = generator.dirichlet(np.ones(sizes[-1]), samples)
        yield work(network.trace(generator.normal(size=(samples, sizes[0])), target, loss, decimals), 0.3)


@functools.cache
def suits(output, loss):
    """Return whether an output layer with an activation can be trained with a loss."""
    target = [0] if loss == "cross_entropy" else [[0.5, 0.5]]
    try:
        bp.Network([1, 2], output_activation=output, backend="numpy").loss([[0.5]], target, loss)
    except ValueError:
        return False
    return True


def compute(page, examples):
    """Return what the page computes of data of pages, and the error after a step."""
    # Playwright takes long to convert nested lists.
    return json.loads(
        page.evaluate(
            """examples => JSON.stringify(JSON.parse(examples).map(data => {
                const pass = backpropagation.compute(data);
                const after = backpropagation.errorOf(backpropagation.update(data, data.learning_rate, pass));
                return {...pass, after};
            }))""",
            json.dumps(examples),
        )
    )


def test_the_arithmetic_is_python_s(open_page):
    examples = [page_data(worked, 4) for worked in random_examples()]
    for data, passed in zip(examples, compute(open_page(EXACT), examples), strict=True):
        python = data["python"]
        name = f"{[layer['activation']['name'] for layer in data['layers']]}, {data['loss']['name']}, {data['decimals']}"
        assert_equal(passed["error"], python["error"], name)
        assert_equal(passed["after"], python["error_after"], name)
        for number, layer in enumerate(python["layers"]):
            for field in ("net", "out", "slope", "delta"):
                assert_equal(passed[field][number], layer[field], f"{name}: {field}")
            if layer["derivative"] is not None and passed["derivative"][number] is not None:
                assert_equal(passed["derivative"][number], layer["derivative"], name)
            assert_equal(passed["weightGradient"][number], layer["weight_gradient"], name)
            if layer["bias_gradient"] is not None:
                assert_equal(passed["biasGradient"][number], layer["bias_gradient"], name)


def test_settings_of_activations_and_losses_are_used(open_page):
    activations = [LeakyReLU(0.2), ELU(0.7), "identity"]
    network = bp.Network([2, 3, 3, 2], activations, backend="numpy", dtype="float64", seed=1)
    inputs, target = np.random.default_rng(1).normal(size=(2, 3, 2))
    losses = [Huber(0.3), Quantile(0.9)]
    examples = [page_data(work(network.trace(inputs, target, loss), 0.1), 4) for loss in losses]
    for data, passed in zip(examples, compute(open_page(EXACT), examples), strict=True):
        assert_equal(passed["error"], data["python"]["error"])
        assert_equal(passed["weightGradient"][0], data["python"]["layers"][0]["weight_gradient"])


def test_finite_differences_agree_with_smooth_networks(open_page):
    network = bp.Network([2, 3, 2], ["tanh", "softmax"], backend="numpy", dtype="float64", seed=1)
    data = page_data(work(network.trace([[0.3, -0.4], [1.0, 0.5]], [0, 1], "cross_entropy"), 0.1), 4)
    found = open_page(EXACT).evaluate("backpropagation.differences", data)
    assert len(found) == 2
    assert all(layer["relative"] < 1e-7 for layer in found)


def test_halves_are_rounded_to_even(open_page):
    numbers = [0.5, 1.5, 2.5, -0.5, -1.5, 0.125, 0.375, -2.5e-5, 1e200, 0.1 + 0.2, *np.random.default_rng(0).normal(size=200)]
    page = open_page(EXACT)
    for decimals in (0, 1, 2, 4, 15):
        rounded = page.evaluate("([all, decimals]) => all.map(backpropagation.rounder(decimals))", [numbers, decimals])
        np.testing.assert_array_equal(rounded, np.round(np.array(numbers) * 10.0**decimals) / 10.0**decimals)


# What the page offers.


def test_the_page_opens_from_a_file(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(ARTICLE, encoding="utf-8")
    page = browser.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    assert "0.2723" in page.text_content("#summary")
    assert page.locator("#check td:has-text('agrees')").count() == 3
    assert "are equal to the last digit" in page.text_content("#check")
    assert complaints == []
    assert requests == [path.as_uri()]
    page.close()


def test_the_steps_show_the_article_s_numbers(open_page):
    page = open_page(ARTICLE)
    page.click("#next")
    assert title(page) == "Forward: netb"
    page.click("#previous")
    seen = walk(page)
    assert len(seen) == page.locator("#steps li").count() == 17
    for letter in "bcd":
        for number, printed in enumerate(article.PRINTED[f"out_{letter}"], start=1):
            result = f"{printed:.4f}"
            assert result in seen[f"Forward: out{letter}"], (letter, number)
    assert "= (0.3 · 0.1452 + 0.6 · (−0.0221)) · 0.2148= 0.0065" in seen["Back: δc, a sum over the neurons above"]
    assert "78 products" in seen["Gradient of Wb"]
    assert "0.2723 → 0.2526" in seen["Update: one step down the gradient"]


def test_the_keyboard_steps(open_page):
    page = open_page(ARTICLE)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert title(page) == "Forward: outb"
    assert page.text_content("#status") == "Step 3 of 17: Forward: outb"
    assert page.text_content("#steps [aria-current=step]") == "outb"
    page.keyboard.press("ArrowLeft")
    assert title(page) == "Forward: netb"
    # In a field, arrow keys belong to the field.
    page.focus("[aria-label=w_b1]")
    page.keyboard.press("ArrowRight")
    assert title(page) == "Forward: netb"
    page.focus("#steps li:last-child button")
    page.keyboard.press("Enter")
    assert title(page) == "Update: one step down the gradient"
    assert page.evaluate("document.activeElement.textContent") == "update"


def test_a_sum_is_shown_for_the_chosen_hidden_neuron(open_page):
    page = open_page(EXACT)
    page.click("#steps button:has-text('δc')")
    page.click("[data-key=choose-1-2]")
    assert page.evaluate("document.activeElement.dataset.key") == "choose-1-2"
    assert page.text_content("#step .why h4") == "Why is δc3 a sum?"
    together, measured = page.locator("#step .why b").all_text_contents()[-2:]
    assert abs(number(together) / number(measured) - 1) < 1e-3
    assert page.locator("#drawing .weight.used").count() == 2


def number(text):
    digits, _, power = text.replace("−", "-").partition(" × 10")
    return float(digits) * 10.0 ** int(power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")) or 0)


@pytest.mark.parametrize("how", ["hover", "focus", "choose"])
def test_a_weight_shows_its_paths_and_its_gradient(open_page, how):
    page = open_page(EXACT)
    if how == "hover":
        hover(page, "w-0-0-0")
    elif how == "focus":
        page.focus("#drawing [tabindex='0']")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
    else:
        page.select_option("#followed", label="w_b1: a_1 → b_1")
    paths = page.text_content("#paths")
    assert "6 paths lead from it to the error" in paths
    assert "b1 → c3 → d2" in paths
    gradient = article_network().gradient([article.INPUTS], [article.TARGET])[0].weight[0, 0]
    for place in ("#long-way", "#short-way", "#gradient"):
        assert number(page.text_content(place)) == pytest.approx(gradient, rel=1e-3)
    # Its own line, all weights from b_1 to c, and all from c to d.
    assert page.locator("#drawing .weight.path").count() == 1 + 3 + 6
    page.keyboard.press("Enter" if how == "focus" else "Escape")
    assert state(page)["pinned"] == (how == "focus")


def hover(page, key):
    """Move the mouse to the middle of a weight's line."""
    box = page.locator(f"[data-key={key}] .reach").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_a_weight_that_was_clicked_is_kept(open_page):
    page = open_page(EXACT)
    hover(page, "w-2-1-2")
    page.mouse.down()
    page.mouse.up()
    hover(page, "w-0-0-0")
    assert page.get_attribute("[data-key=w-2-1-2]", "aria-pressed") == "true"
    assert "wd6 = 0.8 leads from c3 to d2. 1 path leads from it" in page.text_content("#paths")
    page.keyboard.press("Escape")
    assert state(page)["weight"] is None


def test_edited_numbers_are_those_of_python(open_page):
    page = open_page(EXACT)
    page.fill("[aria-label=w_c5]", "-1.25")
    page.fill("[aria-label=a_2]", "0.5")
    page.fill("[aria-label='target of d_1']", "0.3")
    page.fill("[aria-label='learning rate']", "0.9")
    page.select_option("[data-activation='1']", "tanh")
    weights = [np.array(weight) for weight in article.WEIGHTS]
    weights[1][1, 0] = -1.25
    network = article_network(weights, ["sigmoid", "tanh", "sigmoid"])
    worked = work(network.trace([1.0, 0.5], [0.3, 1.0]), 0.9)
    passed = state(page)["pass"]
    assert_equal(passed["error"], worked.error)
    for number, layer in enumerate(worked.layers):
        assert_equal(passed["delta"][number], layer.delta)
        assert_equal(passed["weightGradient"][number], layer.weight_gradient)
    page.click("[data-train='1']")
    assert_equal(state(page)["pass"]["error"], worked.error_after)
    assert "tanh" in page.text_content("#summary")


def test_an_invalid_number_is_marked_and_ignored(open_page):
    page = open_page(EXACT)
    before = state(page)["pass"]["error"]
    page.fill("[aria-label=w_b1]", "")
    assert page.get_attribute("[aria-label=w_b1]", "aria-invalid") == "true"
    assert page.text_content("#invalid") == "w_b1 should be a number, such as 0.25. Until then, the page computes with 0.1."
    assert state(page)["pass"]["error"] == before
    page.fill("[aria-label=w_b1]", "2")
    assert page.get_attribute("[aria-label=w_b1]", "aria-invalid") is None
    assert page.text_content("#invalid") == ""
    assert state(page)["pass"]["error"] != before


def test_training_is_python_s(open_page):
    page = open_page(EXACT)
    network = article_network()
    network.fit([article.INPUTS], [article.TARGET], learning_rate=0.5, epochs=11)
    page.click("[data-train='10']")
    page.click("[data-train='1']")
    page.wait_for_function("backpropagation.state.history.length === 12 && !backpropagation.state.busy")
    history = state(page)["history"]
    assert history == sorted(history, reverse=True)
    for here, layer in zip(state(page)["network"]["layers"], network.layers, strict=True):
        assert_equal(here["weight"], layer.weight)
    assert "After 11 steps" in page.get_attribute("#chart svg", "aria-label")
    assert float(page.input_value("[aria-label=w_b1]")) == pytest.approx(network.layers[0].weight[0, 0], abs=1e-4)
    page.click("#reset")
    assert len(state(page)["history"]) == 1
    assert page.input_value("[aria-label=w_b1]") == "0.1"


def test_the_rounding_can_be_turned_off(open_page):
    page = open_page(ARTICLE)
    assert state(page)["pass"]["error"] == 0.2723
    page.uncheck("#rounding")
    assert_equal(state(page)["pass"]["error"], work(article_network().trace(article.INPUTS, article.TARGET), 0.5).error)


def test_another_sample_can_be_chosen(open_page):
    page = open_page(batch_page())
    page.select_option("#sample", "2")
    page.click("#next")
    net = state(page)["pass"]["net"][0][0][2]
    assert f"{net:.4f}".replace("-", "−") in page.text_content("#step .lines")
    assert page.input_value("[aria-label=a_1]") == f"{state(page)['network']['inputs'][0][2]:.4f}".rstrip("0")


@pytest.mark.parametrize(("scheme", "label"), [("light", "δb"), ("dark", "update")])
def test_axe_finds_nothing_serious(open_page, scheme, label):
    axe = optional("axe_playwright_python.sync_playwright").Axe()
    page = open_page(batch_page(sizes=(2, 3, 2)), color_scheme=scheme)
    page.select_option("#followed", index=2)
    page.click(f"#steps button:has-text('{label}')")
    violations = axe.run(page).response["violations"]
    serious = [each for each in violations if each["impact"] in ("serious", "critical")]
    assert not serious, [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious]


def test_a_phone_does_not_scroll_sideways(open_page):
    for html in (ARTICLE, batch_page("relu", (14, 13, 3))):
        page = open_page(html, width=360, height=740)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert len(walk(page)) == page.locator("#steps li").count()


def test_it_is_printed(open_page, tmp_path):
    page = open_page(ARTICLE)
    assert page.screenshot(full_page=True).startswith(b"\x89PNG")
    page.evaluate("window.addEventListener('afterprint', () => document.body.dataset.printed = 'yes')")
    assert page.pdf().startswith(b"%PDF")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#all-steps h3").count() == 17
    page.emulate_media(media="print")
    assert page.is_visible("#all-steps")
    assert not page.is_visible("#next")


# Networks that are not like the article's.


@dataclasses.dataclass(frozen=True)
class Square:
    def value(self, net):
        return net * net

    def delta(self, slope, signal):
        return slope * 2.0 * signal.net


def test_a_custom_activation_is_shown_with_python_s_numbers(open_page):
    network = article_network(activation=["sigmoid", Square(), "sigmoid"])
    page = open_page(page_of(network, article.INPUTS, article.TARGET))
    assert "Square is written in Python" in page.text_content("#training .own-note")
    assert page.is_disabled("[data-train='1']")
    assert page.is_disabled("[aria-label=w_b1]")
    expected = float(network.trace(article.INPUTS, article.TARGET)["c"].out[0])
    assert f"{expected:.4f}" in walk(page)["Forward: outc"]
    page.select_option("#followed", index=1)
    assert page.text_content("#long-way") == page.text_content("#short-way")


def test_a_custom_loss_is_shown_with_python_s_numbers(open_page):
    def value(out, target):
        return ((out - target) ** 4).sum(axis=-1)

    def slope(out, target):
        return 4.0 * (out - target) ** 3

    page = open_page(page_of(article_network(), article.INPUTS, article.TARGET, (value, slope)))
    walk(page)
    assert page.is_disabled("[data-train='1']")


def test_a_name_that_is_html_is_harmless(open_page):
    name = "</script><img src=x onerror=alert(1)><script>alert(2)</script>\u2028${1}{{ 7 * 7 }}"
    hostile = type(name, (Square,), {})()
    page = open_page(page_of(article_network(activation=["sigmoid", hostile, "sigmoid"]), article.INPUTS, article.TARGET))
    assert page.locator("img").count() == 0
    assert "onerror=alert(1)" in page.text_content("#summary")
    assert "{{ 7 * 7 }}" in page.text_content("#summary")


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")
def test_numbers_that_are_not_finite_do_not_break_the_page(open_page):
    weights = [np.array(weight) for weight in article.WEIGHTS]
    weights[0][0, 0] = 1e308
    trace = article_network(weights, "identity").trace([1e10, 0.0], article.TARGET)
    page = open_page(render_page(work(trace, 0.5), 4))
    walk(page)
    assert "∞" in page.text_content("#summary") or "NaN" in page.text_content("#summary")


def test_a_large_network_is_abbreviated(open_page):
    network = bp.Network([300, 40, 12, 5], backend="numpy", dtype="float64", seed=0)
    page = open_page(page_of(network, np.zeros(300), np.zeros(5)))
    assert page.locator("#drawing .neuron").count() == 11 + 11 + 12 + 5
    assert "300 neurons" in page.text_content("#drawing")
    assert page.locator("#fields input").count() < 500
    page.select_option("#followed", index=1)
    assert "60 paths lead from it" in page.text_content("#paths")
    page.click("[data-train='10']")
    page.wait_for_function("backpropagation.state.history.length === 11 && !backpropagation.state.busy")
    assert "takes too long here" in page.text_content("#check")


def test_a_softmax_below_the_output_has_no_path_list(open_page):
    page = open_page(page_of(article_network(activation=["softmax", "tanh", "softmax"]), article.INPUTS, article.TARGET))
    page.select_option("#followed", index=1)
    assert "paths cannot be written neuron by neuron" in page.text_content("#paths")
    assert "takes the slopes of the whole layer" in walk(page)["Back: δb, a sum over the neurons above"]
