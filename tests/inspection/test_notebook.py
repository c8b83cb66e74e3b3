"""A notebook shows a network as a table, and a trace as its page where Jinja2 is installed."""

import html
import re

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.common import lookup


def test_a_network_is_a_table(on_target):
    class Odd_Name:  # noqa: N801
        """An activation."""

        def value(self, net):
            return net

        def delta(self, slope, signal):
            return slope

    Odd_Name.__name__ = "Odd<Name>"
    network = bp.Network([2, 1000, 3], [Odd_Name(), "softmax"], backend=on_target.flag, seed=0)
    table = network._repr_html_()
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
    assert rows == [
        ["a", "2", "inputs", "0"],
        ["b", "1,000", "Odd&lt;Name&gt;", "3,000"],
        ["c", "3", "softmax", "3,003"],
        ["", "", "", "6,003"],
    ]
    assert "<caption>Network 2-1000-3, Odd&lt;Name&gt;, Softmax" in table


def test_a_trace_is_its_page():
    pytest.importorskip("jinja2")
    trace = bp.Network([2, 3, 1], backend="numpy", seed=0).trace([1.0, 0.0], [1.0])
    shown = trace._repr_html_()
    (page,) = re.findall(r'srcdoc="(.*?)"', shown, re.DOTALL)
    assert html.unescape(page) == trace.to_html()


def test_without_jinja2_a_trace_is_its_repr(monkeypatch):
    def missing(name, *extras):
        raise lookup.NotInstalledError("no Jinja2", name=name)

    monkeypatch.setattr("portable_bp.inspection.explanation.page.require", missing)
    assert bp.Network([2, 3, 1], backend="numpy", seed=0).trace([1.0, 0.0], [1.0])._repr_html_() is None


def test_a_large_network_s_trace_is_its_repr():
    wide = bp.Network([784, 128, 10], backend="numpy", seed=0).trace(np.zeros(784), np.zeros(10))
    long = bp.Network([2, 3, 1], backend="numpy", seed=0).trace(np.zeros((5000, 2)), np.zeros(5000))
    assert wide._repr_html_() is None and long._repr_html_() is None
