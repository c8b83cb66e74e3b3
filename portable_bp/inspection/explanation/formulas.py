"""The formulas of activations and losses: one entry for each, in the spelling of each format.

{x} stands for what an activation is applied to; {net}, {out} and {slope} (dE/dout) for the numbers of a neuron, and {target}
for its target.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from portable_bp.algorithm import activations, losses
from portable_bp.inspection.explanation.document import Spelled

SIGMOID = Spelled("1 / (1 + e^(-{x}))", r"\frac{{1}}{{1 + e^{{-{x}}}}}")


class ActivationFormula(NamedTuple):
    """An activation's value at x, and its derivative."""

    value: Spelled
    derivative: Spelled


class LossFormula(NamedTuple):
    """The error of one output, and its slope: dE/dout, or dE/dnet for a loss that is computed from the net."""

    value: Spelled
    slope: Spelled


ACTIVATION_FORMULAS: dict[type, ActivationFormula] = {
    activations.Identity: ActivationFormula(Spelled("{x}", "{x}"), Spelled("1", "1")),
    activations.Sigmoid: ActivationFormula(SIGMOID, Spelled("{out} * (1 - {out})", r"{out} \cdot (1 - {out})")),
    activations.Tanh: ActivationFormula(
        Spelled("(e^{x} - e^(-{x})) / (e^{x} + e^(-{x}))", r"\frac{{e^{{{x}}} - e^{{-{x}}}}}{{e^{{{x}}} + e^{{-{x}}}}}"),
        Spelled("1 - {out}^2", "1 - {out}^2"),
    ),
    activations.ReLU: ActivationFormula(
        Spelled("max({x}, 0)", r"\max({x}, 0)"),
        Spelled("1 if {net} > 0, else 0", r"1 \text{{ if }} {net} > 0 \text{{, else }} 0"),
    ),
    activations.LeakyReLU: ActivationFormula(
        Spelled(
            "{x} if {x} > 0, else {negative_slope} * {x}",
            r"{x} \text{{ if }} {x} > 0 \text{{, else }} {negative_slope} \cdot {x}",
        ),
        Spelled("1 if {net} > 0, else {negative_slope}", r"1 \text{{ if }} {net} > 0 \text{{, else }} {negative_slope}"),
    ),
    activations.ELU: ActivationFormula(
        Spelled(
            "{x} if {x} > 0, else {alpha} * (e^{x} - 1)", r"{x} \text{{ if }} {x} > 0 \text{{, else }} {alpha} (e^{{{x}}} - 1)"
        ),
        Spelled("1 if {net} > 0, else {alpha} * e^{net}", r"1 \text{{ if }} {net} > 0 \text{{, else }} {alpha} e^{{{net}}}"),
    ),
    activations.GELU: ActivationFormula(
        Spelled(
            "{x} * Phi({x}), where Phi is the standard normal distribution function",
            r"{x} \cdot \Phi({x}) \text{{, where }} \Phi \text{{ is the standard normal distribution function}}",
        ),
        Spelled(
            "Phi({net}) + {net} * phi({net}), where phi is the standard normal density",
            r"\Phi({net}) + {net} \cdot \phi({net}) \text{{, where }} \phi \text{{ is the standard normal density}}",
        ),
    ),
    activations.GELUTanh: ActivationFormula(
        Spelled(
            "{x} / 2 * (1 + tanh(sqrt(2 / pi) * ({x} + 0.044715 * {x}^3)))",
            r"\frac{{{x}}}{{2}} \left(1 + \tanh\left(\sqrt{{2 / \pi}} \, ({x} + 0.044715 \, {x}^3)\right)\right)",
        ),
        Spelled("gelu_tanh'({net})", r"\mathrm{{gelu\_tanh}}'({net})"),
    ),
    activations.SiLU: ActivationFormula(
        Spelled("{x} * s({x}), where s(x) = 1 / (1 + e^(-x))", r"{x} \cdot s({x}), \quad s(x) = \frac{{1}}{{1 + e^{{-x}}}}"),
        Spelled("s({net}) * (1 + {net} * (1 - s({net})))", r"s({net}) \cdot (1 + {net} \cdot (1 - s({net})))"),
    ),
    activations.Softplus: ActivationFormula(
        Spelled("log(1 + e^{x})", r"\log(1 + e^{{{x}}})"), Spelled("1 / (1 + e^(-{net}))", r"\frac{{1}}{{1 + e^{{-{net}}}}}")
    ),
    activations.Softmax: ActivationFormula(
        Spelled(
            "e^{x} / (the sum of e^{x} over the layer)",
            r"\frac{{e^{{{x}}}}}{{\sum e^{{{x}}}}} \text{{, with the sum over the layer}}",
        ),
        Spelled("{out} .* ({slope} - sum of {slope} .* {out})", r"{out} \odot \left({slope} - \sum {slope} \odot {out}\right)"),
    ),
    activations.Exp: ActivationFormula(Spelled("e^{x}", "e^{{{x}}}"), Spelled("{out}", "{out}")),
}

LOSS_FORMULAS: dict[type, LossFormula] = {
    losses.SquaredError: LossFormula(
        Spelled("1/2 * ({target} - {out})^2", r"\tfrac{{1}}{{2}} ({target} - {out})^2"),
        Spelled("{out} - {target}", "{out} - {target}"),
    ),
    losses.AbsoluteError: LossFormula(
        Spelled("abs({target} - {out})", r"\left|{target} - {out}\right|"),
        Spelled("sign({out} - {target})", r"\mathrm{{sign}}({out} - {target})"),
    ),
    losses.Huber: LossFormula(
        Spelled(
            "d * (m - d/2), where m = abs({target} - {out}), d = min(m, {threshold})",
            r"d (m - \tfrac{{d}}{{2}}), \quad m = \left|{target} - {out}\right|, \; d = \min(m, {threshold})",
        ),
        Spelled(
            "{out} - {target}, clipped to [-{threshold}, {threshold}]",
            r"\min(\max({out} - {target}, -{threshold}), {threshold})",
        ),
    ),
    losses.Quantile: LossFormula(
        Spelled(
            "max({quantile} * m, ({quantile} - 1) * m), where m = {target} - {out}",
            r"\max({quantile} \, m, ({quantile} - 1) \, m), \quad m = {target} - {out}",
        ),
        Spelled(
            "1 - {quantile} if {out} > {target}, else -{quantile}",
            r"1 - {quantile} \text{{ if }} {out} > {target} \text{{, else }} -{quantile}",
        ),
    ),
    losses.Poisson: LossFormula(
        Spelled(
            "{target} * log({target} / {out}) - {target} + {out}, where 0 * log(0) = 0",
            r"{target} \log\frac{{{target}}}{{{out}}} - {target} + {out}, \quad 0 \log 0 = 0",
        ),
        Spelled("1 - {target} / {out}", r"1 - \frac{{{target}}}{{{out}}}"),
    ),
    losses.BinaryCrossEntropy: LossFormula(
        Spelled(
            "-{target} * log({out}) - (1 - {target}) * log(1 - {out})",
            r"-{target} \log {out} - (1 - {target}) \log(1 - {out})",
        ),
        Spelled("{out} - {target}", "{out} - {target}"),
    ),
    losses.CrossEntropy: LossFormula(
        Spelled("-{target} * log({out})", r"-{target} \log {out}"), Spelled("{out} - {target}", "{out} - {target}")
    ),
}


FORMULAS: dict[type, ActivationFormula | LossFormula] = {**ACTIVATION_FORMULAS, **LOSS_FORMULAS}


def filled(pattern: Spelled, piece: Any, **spellings: Spelled) -> Spelled:
    """Return a formula with the settings of its piece, and symbols or numbers in the places of the names that are given."""
    settings = {field.name: repr(getattr(piece, field.name)).removesuffix(".0") for field in dataclasses.fields(piece)}
    texts = settings | {name: each.text for name, each in spellings.items()}
    latex = settings | {name: each.latex for name, each in spellings.items()}
    return Spelled(pattern.text.format_map(_Names(texts)), pattern.latex.format_map(_Names(latex)))


class _Names(dict[str, str]):
    """What names stand for; others stay as they are."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"
