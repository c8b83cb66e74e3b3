"""Write the explanation of a worked example, chapter by chapter, as the article does for its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from portable_bp.algorithm.activations import Identity
from portable_bp.common.words import counted
from portable_bp.inspection.explanation.document import (
    Call,
    Derivative,
    Document,
    Formula,
    Heading,
    Matrix,
    Paragraph,
    Part,
    Parts,
    Spelled,
    Symbol,
    formula,
    is_abbreviated,
    matrix,
    numbers,
    paragraph,
    shown_places,
    statistics,
)
from portable_bp.inspection.explanation.formulas import ACTIVATION_FORMULAS, LOSS_FORMULAS, filled
from portable_bp.inspection.explanation.latex import print_parts
from portable_bp.inspection.explanation.text import print_inline
from portable_bp.inspection.explanation.worked import Worked, WorkedLayer
from portable_bp.inspection.names import piece_name

ERROR = Symbol("E_total")
MAX_WRITTEN = 4  # outputs, or terms of a sum, whose numbers are all written
MAX_PATHS = 8
ROUNDED = " (rounding can change the last digit)"


def explain(worked: Worked, decimals: int) -> Document:
    """Return the explanation of a worked example, with numbers of some decimals."""
    return [*_Chapters(worked, decimals).write()]


class _Chapters:
    """The chapters on a worked example."""

    def __init__(self, worked: Worked, decimals: int) -> None:
        self.worked = worked
        self.decimals = decimals
        self.layers = worked.layers
        self.last = worked.layers[-1]
        self.samples = worked.inputs.shape[1]
        self.is_from_net = worked.is_from_net
        self.mean_factor: Parts = (
            () if self.samples == 1 else (Spelled(f"1/{self.samples}", f"\\tfrac{{1}}{{{self.samples}}}"), "*")
        )

    def write(self) -> Iterator[Heading | Paragraph | Formula]:
        sizes = "-".join(map(str, self.worked.sizes))
        yield Heading(1, f"Backpropagation through a {sizes} network, with its numbers")
        yield from self._network()
        yield from self._forward()
        yield from self._error()
        yield Heading(2, "Backpropagation")
        yield from self._last_weight()
        if len(self.layers) > 1:
            yield from self._paths()
        yield from self._pattern()
        yield from self._gradient()
        yield from self._update()

    # Symbols and numbers.

    def _out(self, number: int, place: int = 0, transposed: bool = False) -> Symbol:
        """Return the symbol of the out of a layer above the inputs, which are number -1."""
        if number < 0:
            return Symbol("a", "", place, transposed)
        return Symbol("out", self.layers[number].letter, place, transposed)

    def _numbers(self, array: np.ndarray) -> list[str]:
        return numbers(array, self.decimals, self.worked.decimals is not None)

    def _matrix(self, array: np.ndarray) -> Matrix:
        rows, columns = map(shown_places, array.shape)
        shown = array[np.ix_(*([place for place in places if place is not None] for places in (rows, columns)))]
        entries = iter(self._numbers(shown))
        return Matrix(
            tuple(tuple(("...",) if None in (row, column) else (next(entries),) for column in columns) for row in rows)
        )

    def _number(self, number: float) -> str:
        return self._numbers(np.array([number]))[0]

    def _factor(self, number: float) -> str:
        return _enclosed(self._number(number))

    def _factors(self, values: Sequence[float]) -> Parts:
        return _joined([(self._factor(value),) for value in values], "*")

    def _result(self, symbol: Part, *sides: Part | Sequence[Part], result: np.ndarray) -> Iterator[Paragraph | Formula]:
        """Write an equation that ends with a matrix, and the statistics of the matrix if only a part of it is shown."""
        yield formula(symbol, *sides, self._matrix(result))
        if is_abbreviated(result):
            yield paragraph(symbol, f" is {statistics(result, self.decimals)}.")

    def _weight(self, layer: WorkedLayer, row: int, column: int) -> Symbol:
        return Symbol("w", layer.letter, row * layer.weight.shape[1] + column + 1)

    def _weight_names(self, layer: WorkedLayer) -> Matrix:
        rows, columns = layer.weight.shape
        return matrix([[self._weight(layer, row, column) for column in range(columns)] for row in range(rows)])

    def _example(self, number: int) -> tuple[int, int]:
        """Return the row and column of a layer's first weight whose gradient is not zero for the first sample, or zeros."""
        products = np.outer(self.layers[number].delta[:, 0], self.worked.outs_below[number][:, 0])
        row, column = divmod(int(np.argmax(products != 0.0)), products.shape[1])
        return row, column

    # Chapters.

    def _network(self) -> Iterator[Heading | Paragraph | Formula]:
        worked, first = self.worked, self.layers[0]
        letters = ["a", *(layer.letter for layer in self.layers)]
        yield Heading(2, "The network")
        hidden = letters[1:-1]
        between = f" The layers between them, {_listed(hidden)}, are hidden." if len(hidden) > 1 else ""
        between = f" Layer {hidden[0]} between them is hidden." if len(hidden) == 1 else between
        yield paragraph(
            f"Layer a holds the {counted(worked.sizes[0], 'input')}, and layer {letters[-1]} the "
            f"{counted(worked.sizes[-1], 'output')}.{between} Neurons are numbered from the top of their layer. A weight is "
            "named by the layer that it leads to, and numbered along the rows of that layer's matrix: ",
            *self._connections(first),
            ".",
        )
        for layer in self.layers:
            names = [] if is_abbreviated(layer.weight) else [self._weight_names(layer)]
            yield from self._result(Symbol("W", layer.letter), *names, result=layer.weight)
        for layer in self.layers:
            if layer.bias is not None:
                yield from self._result(Symbol("bias", layer.letter), result=layer.bias)
        several = ", with a column for each sample" if self.samples > 1 else ""
        yield paragraph(f"The inputs, and the targets, which the outputs should come close to{several}:")
        yield from self._result(self._out(-1), result=worked.inputs)
        yield from self._result(Symbol("target"), result=worked.target)
        if worked.decimals is None:
            yield paragraph(f"Numbers are shown with up to {self.decimals} decimals, and computed with all of their digits.")
        else:
            given = [worked.inputs, worked.target, *(part for layer in self.layers for part in (layer.weight, layer.bias))]
            are_exact = all(part is None or np.array_equal(np.round(part, self.decimals), part) for part in given)
            yield paragraph(
                f"Each net, out, slope, delta and gradient is rounded to {worked.decimals} decimals, and the rounded value is "
                "used from then on. What is multiplied on the way to it is rounded only where it is shown",
                "." if are_exact else ", and so are the given numbers.",
            )

    def _connections(self, layer: WorkedLayer) -> Parts:
        """Say what the first weights connect."""
        rows, columns = layer.weight.shape
        places = [(row, column) for row in range(min(rows, 2)) for column in range(columns)][: columns + 1]
        places = places if len(places) <= 3 else [*places[:2], places[-1]]
        said = [
            (
                self._weight(layer, row, column),
                " connects ",
                self._out(-1, column + 1),
                " with ",
                Symbol(layer.letter, "", row + 1),
            )
            for row, column in places
        ]
        return _joined(said, ", ")

    def _forward(self) -> Iterator[Heading | Paragraph | Formula]:
        yield Heading(2, "Forward propagation")
        has_bias, each = self.layers[0].bias is not None, ", in the column of each sample" if self.samples > 1 else ""
        bias = f", plus its bias{each}" if has_bias else ""
        yield paragraph(
            f"The net of a neuron is the sum of the outs of the layer below, each times its weight{bias}. A matrix product "
            "computes all nets of a layer. Its activation then makes the net of each neuron its out."
        )
        defined: set[str] = set()
        for number, (layer, below) in enumerate(zip(self.layers, self.worked.outs_below, strict=True)):
            net, out = Symbol("net", layer.letter), self._out(number)
            symbols, numbered = [Symbol("W", layer.letter), "*", self._out(number - 1)], [layer.weight, "*", below]
            if layer.bias is not None:
                symbols, numbered = (
                    [*symbols, "+", Symbol("bias", layer.letter)],
                    [*numbered, "+", np.broadcast_to(layer.bias, layer.net.shape)],
                )
            sides: list[Parts] = [
                tuple(symbols),
                tuple(part if isinstance(part, str) else self._matrix(part) for part in numbered),
            ]
            if number == 0 and self.samples == 1 and layer.weight.shape[1] <= 3 and not is_abbreviated(layer.weight):
                sides.append((self._sums(layer, below),))
            yield from self._result(net, *sides, result=layer.net)
            activation = layer.shown_activation
            name = piece_name(activation)
            if isinstance(activation, Identity):
                yield from self._result(out, net, result=layer.out)
                continue
            if repr(activation) not in defined:
                defined.add(repr(activation))
                yield from self._definition(layer)
            yield from self._result(out, Call(name, (net,)), Call(name, (self._matrix(layer.net),)), result=layer.out)

    def _sums(self, layer: WorkedLayer, below: np.ndarray) -> Matrix:
        """Return the nets of one sample as sums of products."""
        weights, outs = self._numbers(layer.weight), [self._factor(number) for number in below[:, 0]]
        width = layer.weight.shape[1]
        bias = [] if layer.bias is None else self._numbers(layer.bias)
        rows = []
        for row in range(layer.weight.shape[0]):
            terms = [(_enclosed(weights[row * width + column]), "*", outs[column]) for column in range(width)]
            rows.append([Spelled(*_spelled(_joined([*terms, *([(_enclosed(bias[row]),)] if bias else [])], "+")))])
        return matrix(rows)

    def _definition(self, layer: WorkedLayer) -> Iterator[Paragraph | Formula]:
        """Define the activation of a layer."""
        known = ACTIVATION_FORMULAS.get(type(layer.shown_activation))
        name = piece_name(layer.shown_activation)
        if known is None:
            yield paragraph(f"Layer {layer.letter} has a custom activation, {name}: bp.check_gradient checks its delta.")
            return
        yield paragraph(f"The activation of layer {layer.letter} is {name}:")
        x = Symbol("x")
        yield formula(Call(name, (x,)), filled(known.value, layer.shown_activation, x=Spelled("x", "x")))

    def _error(self) -> Iterator[Heading | Paragraph | Formula]:
        worked, last, loss = self.worked, self.last, self.worked.loss
        name, known = piece_name(loss), LOSS_FORMULAS.get(type(loss))
        yield Heading(2, "The error")
        mean = f", and averaged over the {self.samples} samples" if self.samples > 1 else ""
        summed = ", summed over the outputs" if known else ""
        yield from self._probabilities()
        yield paragraph(f"The loss measures how wrong the outputs are. It is {name}{summed}{mean}:")
        outs, target = self._outs_of_loss(), Symbol("target")
        out = self._out_of_loss()
        if known is None:
            yield formula(
                ERROR,
                Call(name, (Spelled(*(f"{a}, {b}" for a, b in zip(_spell(out), _spell(target), strict=True))),)),
                self._number(worked.error),
            )
        else:
            fill = {"out": _spell(out), "target": _spell(target)}
            sides: list[Parts] = [(*self.mean_factor, Spelled("sum of", r"\sum"), filled(known.value, loss, **fill))]
            explains = "where" in known.value.text
            if self.samples == 1 and len(outs) <= MAX_WRITTEN and not explains:
                terms = [
                    (_apart(filled(known.value, loss, out=_spell(self._factor(o)), target=_spell(self._factor(t)))),)
                    for o, t in zip(outs[:, 0], worked.target[:, 0], strict=True)
                ]
                sides.append(_joined(terms, "+"))
            yield formula(ERROR, *sides, *([] if explains else [self._number(worked.error)]))
            if explains:
                yield formula(ERROR, self._number(worked.error))
        if self.is_from_net:
            yield paragraph(
                f"{name} includes {piece_name(loss.output_activation)} and is computed from the net. So backpropagation "
                "begins with the slope, the derivative of the error with respect to the nets of the output layer: how much the "
                "error changes with each."
            )
        else:
            yield paragraph(
                "Backpropagation begins with the slope, the derivative of the error with respect to the outs of the output "
                "layer: how much the error changes with each."
            )
        by = Symbol("net" if self.is_from_net else "out", last.letter)
        if known is None:
            yield from self._result(Derivative(ERROR, by), result=last.slope)
            return
        slope = filled(known.slope, loss, out=_spell(out), target=_spell(target))
        sides = [(*self.mean_factor, *(("(", slope, ")") if self.mean_factor else (slope,)))]
        if known.slope.text == "{out} - {target}":
            difference: Parts = (self._matrix(outs), "-", self._matrix(worked.target))
            sides.append((*self.mean_factor, "(", *difference, ")") if self.mean_factor else difference)
        yield from self._result(Derivative(ERROR, by), *sides, result=last.slope)

    def _out_of_loss(self, place: int = 0) -> Symbol:
        """Return the symbol of what the loss compares with the target: out, or p where the loss computes that itself."""
        return Symbol("p" if self._has_probabilities() else "out", self.last.letter, place)

    def _has_probabilities(self) -> bool:
        """Return whether the loss computes probabilities that are not the outs."""
        own = getattr(self.worked.loss, "output_activation", None)
        return own is not None and type(self.last.shown_activation) is not type(own)

    def _outs_of_loss(self) -> np.ndarray:
        """Return what the loss compares with the target."""
        own = self.worked.loss.output_activation if self._has_probabilities() else Identity()
        return own.value(self.last.out.T).T

    def _probabilities(self) -> Iterator[Paragraph | Formula]:
        """Define the probabilities that the loss computes from the outs."""
        if self._has_probabilities():
            name, out = piece_name(self.worked.loss.output_activation), Symbol("out", self.last.letter)
            yield paragraph(f"{piece_name(self.worked.loss)} turns the outs into probabilities with {name}:")
            sides = (Call(name, (out,)), Call(name, (self._matrix(self.last.out),)))
            yield from self._result(self._out_of_loss(), *sides, result=self._outs_of_loss())

    def _last_weight(self) -> Iterator[Heading | Paragraph | Formula]:
        layer, below = self.last, self.worked.outs_below[-1]
        row, column = self._example(len(self.layers) - 1)
        weight, net, out = (self._weight(layer, row, column), *(Symbol(name, layer.letter, row + 1) for name in ("net", "out")))
        out_below = self._out(len(self.layers) - 2, column + 1)
        yield Heading(3, "A weight of the last layer")
        yield paragraph(
            "Forward propagation is a chain of functions, so the chain rule gives the slope of the error with respect to each "
            "weight. ",
            weight,
            " changes only ",
            net,
            ", which changes the error",
            *(() if self.is_from_net or layer.derivative is None else (" through ", out)),
            f". The derivative of the net with respect to a weight is the out that the weight multiplies{self._of_sample()}:",
        )
        by = Derivative(ERROR, weight)
        values = [float(layer.delta[row, 0]), float(below[column, 0])]
        if layer.derivative is None or self.is_from_net:
            yield formula(by, (Derivative(ERROR, net), "*", Derivative(net, weight)))
            yield formula(by, self._factors(values), self._number(math.prod(values)))
        else:
            slope, derivative = float(layer.slope[row, 0]), float(layer.derivative[row, 0])
            yield formula(by, (Derivative(ERROR, out), "*", Derivative(out, net), "*", Derivative(net, weight)))
            yield formula(by, (*self._slope_formula(row + 1), "*", *self._derivative_formula(layer, row + 1), "*", out_below))
            yield formula(by, self._factors([slope, derivative, values[1]]), self._number(slope * derivative * values[1]))
        yield from self._sum_of_samples(by, layer.delta[row] * below[column], layer.weight_gradient[row, column])

    def _of_sample(self) -> str:
        return ", here for the first sample" if self.samples > 1 else ""

    def _slope_formula(self, place: int) -> Parts:
        known = LOSS_FORMULAS.get(type(self.worked.loss))
        if known is None:
            return (Derivative(ERROR, Symbol("out", self.last.letter, place)),)
        out, target = _spell(self._out_of_loss(place)), _spell(Symbol("target", self.last.letter, place))
        return (*self.mean_factor, "(", filled(known.slope, self.worked.loss, out=out, target=target), ")")

    def _derivative_formula(self, layer: WorkedLayer, place: int) -> Parts:
        known = ACTIVATION_FORMULAS.get(type(layer.activation))
        net, out = Symbol("net", layer.letter, place), Symbol("out", layer.letter, place)
        if known is None:
            return (Derivative(out, net),)
        written = filled(known.derivative, layer.activation, net=_spell(net), out=_spell(out))
        return (written,) if written.text == "1" else ("(", written, ")")

    def _sum_of_samples(self, by: Derivative, each: np.ndarray, total: float) -> Iterator[Paragraph | Formula]:
        """Say that the gradient of a weight is the sum of the products of its samples."""
        if self.samples == 1:
            return
        terms = [("...",) if place is None else (self._factor(float(each[place])),) for place in shown_places(self.samples)]
        yield paragraph("Each sample gives such a product, and the gradient is their sum:")
        yield formula(by, _joined(terms, "+"), self._number(total))

    def _paths(self) -> Iterator[Heading | Paragraph | Formula]:
        yield Heading(3, "A weight of a hidden layer: the sum over all paths")
        if any(layer.derivative is None for layer in self.layers):
            yield paragraph(
                "An out of this network depends on the nets of several neurons of its layer, so the gradient is not a sum over "
                "single paths. The pattern below still holds."
            )
            return
        for number in dict.fromkeys((len(self.layers) - 2, 0)):
            yield from self._paths_from(number)

    def _paths_from(self, number: int) -> Iterator[Paragraph | Formula]:
        """Write the paths by which a weight of a layer changes the error."""
        layer, above = self.layers[number], self.layers[number + 1 :]
        row, column = self._example(number)
        weight, neuron = self._weight(layer, row, column), Symbol(layer.letter, "", row + 1)
        paths = list(itertools.islice(itertools.product(*(range(len(each.net)) for each in above)), MAX_PATHS + 1))
        count = math.prod(len(each.net) for each in above)
        written = paths if count <= MAX_PATHS else paths[:3]
        yield paragraph(
            weight,
            " changes the out of ",
            neuron,
            f", and through it the neurons above. It reaches the error along {counted(count, 'path')}. The factors along a "
            "path are multiplied: from the error down, the slope of each activation and each weight on the way"
            f"{self._of_sample()}:",
        )
        by = Derivative(ERROR, weight)
        products = []
        for path in written:
            symbols, factors = self._path(number, column, (row, *path))
            products.append(math.prod(factors))
            yield formula(symbols, self._factors(factors), self._number(products[-1]))
        if len(written) < count:
            yield paragraph(f"and so on for the other {count - len(written):,} paths.")
        if self.samples == 1:
            terms = [(self._factor(product),) for product in products]
            sums = _joined(terms if len(written) == count else [*terms, ("...",)], "+")
            total = self._number(float(layer.weight_gradient[row, column]))
            shown = sum(float(self._number(product)) for product in products)
            rounded = len(written) == count > 1 and self._number(shown) != total
            yield paragraph(f"The gradient is the sum over all paths{ROUNDED if rounded else ''}:")
            yield formula(by, *([sums] if count > 1 else []), total)
        else:
            yield paragraph("The gradient is the sum over all paths, and over all samples:")
            yield formula(by, self._number(float(layer.weight_gradient[row, column])))

    def _path(self, number: int, column: int, path: Sequence[int]) -> tuple[Parts, list[float]]:
        """Return the factors along a path of neurons from a weight of a layer up to the error, the error first."""
        symbols: list[Part] = []
        factors: list[float] = []
        above = self.layers[number + 1 :]
        for place, layer, below in reversed(list(zip(path[1:], above, path[:-1], strict=True))):
            out, net = Symbol("out", layer.letter, place + 1), Symbol("net", layer.letter, place + 1)
            if layer is self.last:
                symbols.append(Derivative(ERROR, net if self.is_from_net else out))
                factors.append(float(layer.slope[place, 0]))
            if layer is not self.last or not self.is_from_net:
                symbols.append(Derivative(out, net))
                factors.append(float(layer.derivative[place, 0]))  # pyright: ignore[reportOptionalSubscript]
            symbols.append(self._weight(layer, place, below))
            factors.append(float(layer.weight[place, below]))
        layer = self.layers[number]
        out, net = Symbol("out", layer.letter, path[0] + 1), Symbol("net", layer.letter, path[0] + 1)
        symbols += [Derivative(out, net), self._out(number - 1, column + 1)]
        factors += [float(layer.derivative[path[0], 0]), float(self.worked.outs_below[number][column, 0])]  # pyright: ignore[reportOptionalSubscript]
        return _joined([(symbol,) for symbol in symbols], "*"), factors

    def _pattern(self) -> Iterator[Heading | Paragraph | Formula]:
        yield Heading(3, "The pattern: deltas")
        last = self.last
        delta = Symbol("delta", last.letter)
        yield paragraph(
            "All weights of a neuron share every factor but the last, the out below. The product of the shared factors, summed "
            "over the paths, is the slope of the error with respect to the neuron's net. It is called delta. For the output "
            "layer it is"
        )
        by = Derivative(ERROR, Symbol("net" if self.is_from_net else "out", last.letter))
        if self.is_from_net or isinstance(last.activation, Identity):
            yield from self._result(delta, by, result=last.delta)
        else:
            yield from self._delta(len(self.layers) - 1, (by,), (self._matrix(last.slope),))
        yield from self._derivatives()
        if len(self.layers) > 1:
            yield from self._sum_above()
        for number in reversed(range(len(self.layers) - 1)):
            layer, above = self.layers[number], self.layers[number + 1]
            symbols = (Symbol("W", above.letter, transposed=True), "*", Symbol("delta", above.letter))
            product = (self._matrix(above.weight.T), "*", self._matrix(above.delta))
            if layer.derivative is None:
                yield from self._result(Derivative(ERROR, self._out(number)), symbols, product, result=layer.slope)
            if isinstance(layer.activation, Identity):
                yield from self._result(Symbol("delta", layer.letter), symbols, product, result=layer.delta)
            else:
                yield from self._delta(number, ("(", *symbols, ")"), ("(", *product, ")"), (self._matrix(layer.slope),))
        if len(self.layers) > 1:
            yield self._cost()

    def _delta(self, number: int, slope: Parts, *numbered: Parts) -> Iterator[Paragraph | Formula]:
        """Write the equation of a layer's delta, given its slope in symbols and in numbers."""
        layer = self.layers[number]
        net, delta = Symbol("net", layer.letter), Symbol("delta", layer.letter)
        if layer.derivative is None:
            known = ACTIVATION_FORMULAS.get(type(layer.activation))
            out = self._out(number)
            fill = {"out": _spell(out), "slope": _spell(Derivative(ERROR, out))}
            rule = filled(known.derivative, layer.activation, **fill) if known else Call(piece_name(layer.activation), (net,))
            yield from self._result(delta, rule, result=layer.delta)
            return
        derivative = Call(f"{piece_name(layer.activation)}'", (net,))
        sides = [(*side, ".*", self._matrix(layer.derivative)) for side in numbered]
        yield from self._result(delta, (*slope, ".*", derivative), *sides, result=layer.delta)

    def _derivatives(self) -> Iterator[Paragraph | Formula]:
        """Give the derivative of each activation."""
        used = [layer.activation for layer in self.layers if layer.derivative is not None]
        distinct = {repr(each): each for each in used if type(each) in ACTIVATION_FORMULAS and not isinstance(each, Identity)}
        if distinct:
            product = Spelled(".*", r"\odot")
            yield paragraph("The prime denotes the derivative of out by net, and ", product, " multiplies element by element:")
        for activation in distinct.values():
            net, out = Symbol("net"), Symbol("out")
            derivative = ACTIVATION_FORMULAS[type(activation)].derivative
            yield formula(
                Call(f"{piece_name(activation)}'", (net,)), filled(derivative, activation, net=_spell(net), out=_spell(out))
            )

    def _sum_above(self) -> Iterator[Paragraph | Formula]:
        """Say why the delta of a hidden neuron is a sum, for a neuron of the highest hidden layer."""
        layer, above = self.layers[-2], self.layers[-1]
        (row, _), places = self._example(len(self.layers) - 2), shown_places(len(above.net))
        neuron = Symbol(layer.letter, "", row + 1)
        yield paragraph(
            "The out of a hidden neuron goes to every neuron of the layer above, and changes the error through each of them. "
            "So its slope is a sum over the neurons above: the delta of each, times the weight between the two. Times the "
            "derivative of its own activation, the sum is its delta. For ",
            neuron,
            f"{self._of_sample()}:",
        )
        symbols = [
            ("...",) if place is None else (Symbol("delta", above.letter, place + 1), "*", self._weight(above, place, row))
            for place in places
        ]
        terms = [
            ("...",) if place is None else self._factors([float(above.delta[place, 0]), float(above.weight[place, row])])
            for place in places
        ]
        out, net = Symbol("out", layer.letter, row + 1), Symbol("net", layer.letter, row + 1)
        if layer.derivative is None:
            yield formula(Derivative(ERROR, out), _joined(symbols, "+"), _joined(terms, "+"), self._number(layer.slope[row, 0]))
        else:
            yield formula(
                Symbol("delta", layer.letter, row + 1),
                ("(", *_joined(symbols, "+"), ")", "*", Derivative(out, net)),
                ("(", *_joined(terms, "+"), ")", "*", self._factor(layer.derivative[row, 0])),
                self._number(layer.delta[row, 0]),
            )
        yield paragraph("For all neurons of a layer at once, the sums are the product with the transposed matrix of weights:")

    def _cost(self) -> Paragraph:
        """Say how much work the deltas save."""
        sizes = self.worked.sizes
        if any(layer.derivative is None for layer in self.layers):
            return paragraph(f"Each of the {sum(sizes[1:]):,} deltas is computed once, and used by all weights below.")
        weights = sum(layer.weight.size for layer in self.layers)
        paths = sum(layer.weight.size * math.prod(sizes[number + 2 :]) for number, layer in enumerate(self.layers))
        return paragraph(
            f"This is why backpropagation is cheap. Path by path, the gradients of all {weights:,} weights are sums of "
            f"{paths:,} products. Layer by layer, there are {sum(sizes[1:]):,} deltas: each is computed once, from those "
            "above, and used by all weights below."
        )

    def _gradient(self) -> Iterator[Heading | Paragraph | Formula]:
        yield Heading(3, "Every gradient")
        has_bias = self.last.bias is not None
        summed = ", summed over the samples" if self.samples > 1 else ""
        bias = (
            f" A bias counts like the weight of an out that is always 1: its gradient is delta itself{summed}."
            if has_bias
            else ""
        )
        over = ". The product of the matrices sums over the samples" if self.samples > 1 else ""
        yield paragraph(
            f"The gradient of a weight is the delta of the neuron that it leads to, times the out that it multiplies"
            f"{over}.{bias}"
        )
        for number in reversed(range(len(self.layers))):
            layer, below = self.layers[number], self.worked.outs_below[number]
            weight, delta = Symbol("W", layer.letter), Symbol("delta", layer.letter)
            yield from self._result(
                Derivative(ERROR, weight),
                (delta, "*", self._out(number - 1, transposed=True)),
                (self._matrix(layer.delta), "*", self._matrix(below.T)),
                result=layer.weight_gradient,
            )
            if layer.bias_gradient is not None:
                summed_delta = (delta,) if self.samples == 1 else (Spelled("sum of", r"\sum"), delta)
                yield from self._result(
                    Derivative(ERROR, Symbol("bias", layer.letter)), summed_delta, result=layer.bias_gradient
                )

    def _update(self) -> Iterator[Heading | Paragraph | Formula]:
        worked = self.worked
        rate = repr(worked.learning_rate).removesuffix(".0")
        yield Heading(2, "The update")
        yield paragraph(
            f"A small enough step down the gradient lowers the error. With a learning rate of {rate}, every weight changes by "
            f"-{rate} times its gradient:"
        )
        for layer in self.layers:
            for name, old, slope, new in (
                ("W", layer.weight, layer.weight_gradient, layer.new_weight),
                ("bias", layer.bias, layer.bias_gradient, layer.new_bias),
            ):
                if old is None or slope is None or new is None:
                    continue
                symbol = Symbol(name, layer.letter)
                yield from self._result(
                    Spelled(f"new {name}_{layer.letter}", f"{print_parts((symbol,))}^{{new}}"),
                    (symbol, "-", rate, "*", Derivative(ERROR, symbol)),
                    (self._matrix(old), "-", rate, "*", self._matrix(slope)),
                    result=new,
                )
        before, after = self._numbers(np.array([worked.error, worked.error_after]))
        rose = (
            " It rose: the step was too long, and a smaller learning rate would lower it."
            if worked.error_after > worked.error
            else ""
        )
        yield paragraph(
            f"With the new weights, the same inputs give an error of {after}; before the step it was {before}.{rose}"
        )


def _enclosed(shown: str) -> str:
    """Return a number in parentheses if it is negative."""
    return f"({shown})" if shown.startswith("-") else shown


def _apart(term: Spelled) -> Spelled:
    """Return a term of a sum in parentheses if it begins with a sign."""
    return Spelled(f"({term.text})", f"({term.latex})") if term.text.startswith("-") else term


def _joined(terms: Sequence[Parts], between: str) -> Parts:
    """Return terms with something between them."""
    return tuple(part for number, term in enumerate(terms) for part in ((between, *term) if number else term))


def _spelled(parts: Parts) -> tuple[str, str]:
    return print_inline(parts), print_parts(parts)


def _spell(part: Part) -> Spelled:
    return Spelled(*_spelled((part,)))


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
