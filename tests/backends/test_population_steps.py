"""Steps of a population, compiled for processors and for GPUs, do what called steps and single networks do.

A processor has a network in each lane of a vector, a GPU one in each block of threads, which is run on the processor here.
"""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.arrays import Layer, Signal, namespace
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS, SGD, Adam, Clipped, Penalized, Steered
from portable_bp.backends import cache, looped
from portable_bp.backends import numpy as numpy_backend
from portable_bp.backends.graph.printers import calls, machine_code
from portable_bp.backends.graph.printers import population as population_printer
from portable_bp.backends.graph.printers.block import BlockExecutable
from portable_bp.backends.graph.printers.population import PopulationExecutable
from portable_bp.common.trees import item, leaves
from portable_bp.training.step import Batch, MeanLoss, Pieces, Progress, step
from tests.support.cuda_on_cpu import PopulationOnTheHost, need_compiler

STEPS = 3
LANE_SOURCE = "portable_bp.backends.graph.printers.lanes.LaneSource"
LANES, BLOCKS = (pytest.mark.parametrize("kinds", [name], indirect=True) for name in ("lanes", "blocks"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of compiled steps that the tests of this file share."""
    return tmp_path_factory.mktemp("compiled")


class Kinds(set):
    """The kinds of executables that ran, and the one that should."""

    def __init__(self, expected):
        super().__init__()
        self.expected = expected


@pytest.fixture(autouse=True, params=["lanes", "blocks"])
def kinds(request, folder, monkeypatch):
    """Compile every step that is recorded, and return the kinds of executables that run."""
    if request.param == "lanes":
        pytest.importorskip("numba", reason="Numba, which brings LLVM, is not installed")
    else:
        need_compiler()
        monkeypatch.setattr(numpy_backend, "PopulationLibrary", PopulationOnTheHost)
    monkeypatch.setenv("PORTABLE_BP_CACHE", str(folder))
    monkeypatch.setenv("PORTABLE_BP_COMPILE", "1")
    monkeypatch.setattr(population_printer, "_programs", {})
    cache.clear()
    found = Kinds({"lanes": PopulationExecutable, "blocks": BlockExecutable}[request.param])
    for kind in (calls.Executable, PopulationExecutable, BlockExecutable):
        run = kind.run

        def noted(self, *given, run=run):
            found.add(type(self))
            return run(self, *given)

        monkeypatch.setattr(kind, "run", noted)
    yield found
    cache.clear()


class Population:
    """Networks with random weights, data, and batches of several steps."""

    def __init__(self, members=11, sizes=(3, 5, 2), dtype="float64", samples=20, batch=4, bias=True, seed=0):
        self.members, self.sizes, self.dtype, self.samples, self.batch = members, sizes, dtype, samples, batch
        self.generator = np.random.default_rng(seed)
        self.layers = [
            Layer(self.uniform(members, above, below) - 0.5, self.uniform(members, above) - 0.5 if bias else None)
            for below, above in zip(sizes, sizes[1:], strict=False)
        ]
        self.masks, self.own_indices = (None,) * (len(sizes) - 2), None
        self.indices = self.generator.integers(0, samples, (STEPS, batch), "int32")
        self.data = self.normal(samples, sizes[0]), self.uniform(samples, sizes[-1]), None

    def normal(self, *shape):
        return self.generator.normal(size=shape).astype(self.dtype)

    def uniform(self, *shape):
        return self.generator.random(shape).astype(self.dtype)

    def progress(self, optimizer):
        return Progress(self.layers, optimizer.init(self.layers), np.zeros(self.members, self.dtype))

    def batches(self):
        return Batch(self.indices, self.masks, own_indices=self.own_indices)


def pieces_of(activations, loss="squared_error", optimizer=None):
    return Pieces(tuple(ACTIVATIONS[name]() for name in activations), MeanLoss(LOSSES[loss]()), optimizer or SGD(0.01))


def replayed(pieces, population, **options):
    """Return the progress after all steps, which are replayed."""
    run = looped(bp.select_backend("numpy", dtype=population.dtype), options.get("step", step), pieces)(population.data)
    return run(population.progress(pieces.optimizer), population.batches(), STEPS)


def called(pieces, population, step=step):
    """Return the progress after all steps, which are called."""
    progress = population.progress(pieces.optimizer)
    for number in range(STEPS):
        progress = step(pieces, progress, population.data, item(population.batches(), number))
    return progress


def assert_close(found, expected, dtype="float64"):
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    for mine, theirs in zip(leaves(found), leaves(expected), strict=True):
        assert mine.dtype == theirs.dtype and mine.shape == theirs.shape
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance)


def assert_replays(kinds, pieces, population, **options):
    found = replayed(pieces, population, **options)
    assert kinds == {kinds.expected}
    assert_close(found, called(pieces, population, **options), population.dtype)


def assert_function_is_replayed(kinds, function, carry, data):
    """Check a function of arrays that is no whole step, which compiles in less time."""
    run = bp.select_backend("numpy", dtype="float64").loop(lambda carry, data, item: (function(*carry, *data),))((data,))
    found = run((carry,), (), STEPS)
    assert kinds == {kinds.expected}
    for _ in range(STEPS):
        carry = function(carry, data)
    assert_close(found, (carry,))


def test_every_activation(kinds):
    activations = [make() for make in ACTIVATIONS.values()]

    def function(net, slope):
        deltas = [activation.delta(slope, Signal(net, activation.value(net))) for activation in activations]
        return net + 0.01 * sum(deltas)

    population = Population()
    assert_function_is_replayed(kinds, function, population.normal(11, 4, 3), population.normal(4, 3))


def test_every_loss(kinds):
    losses = [make() for name, make in LOSSES.items()]

    def function(out, target):
        slopes = [loss.slope(out, target) + loss.value(out, target)[..., None] for loss in losses]
        return out + 0.01 * sum(slopes)

    population = Population()
    assert_function_is_replayed(kinds, function, population.uniform(11, 4, 3) + 0.5, population.uniform(4, 3))


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
def test_classes(kinds, shared):
    population = Population()
    classes = population.generator.integers(0, 2, (population.samples,), "int32")
    population.data = population.data[0], classes, None
    if not shared:
        population.indices = population.generator.integers(0, population.samples, (STEPS, 11, 4), "int32")
    assert_replays(kinds, pieces_of(["relu", "softmax"], "cross_entropy"), population)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "clipped", "penalized", "steered"])
def test_every_optimizer(kinds, optimizer):
    wrapped = {
        "clipped": lambda: Clipped(SGD(0.1), 0.3),
        "penalized": lambda: Penalized(Adam(0.01), l1=0.1, l2=0.2),
        "steered": lambda: Steered(SGD(0.1)),
    }
    made = (wrapped | OPTIMIZERS)[optimizer]()
    assert_replays(kinds, pieces_of(["tanh", "identity"], optimizer=made), Population())


def test_no_biases_and_single_precision(kinds):
    optimizer = Clipped(Penalized(Adam(0.01), l1=0.1, l2=0.2), 0.3)
    assert_replays(kinds, pieces_of(["gelu", "exp"], "poisson", optimizer), Population(dtype="float32", bias=False))


def test_dropout_sample_weights_and_orders_of_each_member(kinds):
    population = Population(sizes=(3, 5, 4, 2))
    population.masks = tuple(2.0 * (population.uniform(STEPS, 11, 4, width) > 0.5) for width in (5, 4))
    population.indices = population.generator.integers(0, 20, (STEPS, 11, 4), "int32")
    population.data = *population.data[:2], population.uniform(20)
    assert_replays(kinds, pieces_of(["tanh", "sigmoid", "identity"]), population)


def test_data_of_each_member(kinds):
    """All rows in each step: nothing is taken."""
    population = Population(batch=20)
    population.indices = None
    population.data = population.normal(11, 20, 3), population.uniform(11, 20, 2), population.uniform(11, 20)
    assert_replays(kinds, pieces_of(["tanh", "identity"]), population)


@pytest.mark.parametrize("members", [1, 11])
@pytest.mark.parametrize("own_order", [False, True], ids=["shared order", "own order"])
def test_rows_of_the_data_of_each_member(kinds, own_order, members):
    """With orders of their own, they are rows of one array, at indices that count the rows of the members before."""
    population, offsets = Population(members), 20 * np.arange(members, dtype="int32")[:, None]
    population.data = population.normal(members, 20, 3), population.uniform(members, 20, 2), None
    if own_order:
        population.indices = population.generator.integers(0, 20, (STEPS, members, 4), "int32") + offsets

    def step_on_rows(pieces, progress, data, batch):
        def rows(array):
            if not own_order:
                return xp.take(array, batch.indices, axis=1)
            return xp.take(xp.reshape(array, (-1, array.shape[-1])), batch.indices, axis=0)

        xp = namespace(data[0])
        return step(pieces, progress, (*map(rows, data[:2]), None), Batch(None, batch.masks))

    assert_replays(kinds, pieces_of(["tanh", "identity"]), population, step=step_on_rows)


def test_constants_of_each_member(kinds):
    rates = np.linspace(0.01, 0.2, 11)

    def step_with_rates(pieces, progress, data, batch):
        x, target = (np.take(each, batch.indices, axis=0) for each in data[:2])
        error, gradient = pieces.objective(pieces.activations, progress.layers, x, target, None)
        layers = [
            Layer(old.weight - rates[:, None, None] * new.weight, old.bias - rates[:, None] * new.bias)
            for old, new in zip(progress.layers, gradient, strict=True)
        ]
        return Progress(layers, progress.state, progress.total + error)

    assert_replays(kinds, pieces_of(["tanh", "identity"]), Population(), step=step_with_rates)


@pytest.mark.parametrize(
    "members, sizes, batch", [(4, (4, 4, 4), 4), (3, (3, 3), 3), (1, (1, 1), 1), (1, (2, 3, 1), 4)], ids=str
)
def test_the_number_of_members_is_also_another_size(kinds, members, sizes, batch):
    population = Population(members, sizes, batch=batch, samples=max(members, batch))
    assert_replays(kinds, pieces_of(["sigmoid"] * (len(sizes) - 1)), population)


@hypothesis.settings(max_examples=15, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    members=st.integers(1, 40),
    sizes=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    batch=st.integers(1, 9),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_all_sizes(kinds, members, sizes, batch, dtype):
    assert_replays(kinds, pieces_of(["tanh", "sigmoid"]), Population(members, tuple(sizes), dtype, batch=batch))


@BLOCKS
@hypothesis.settings(max_examples=25, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    members=st.integers(1, 6),
    sizes=st.lists(st.sampled_from([1, 2, 5, 16, 24, 32]), min_size=2, max_size=4),
    batch=st.sampled_from([1, 4, 7, 32]),
    optimizer=st.sampled_from(["sgd", "nesterov", "adam"]),
    own=st.sets(st.sampled_from(["data", "order", "masks"])),
    bias=st.booleans(),
)
def test_any_population_of_blocks(kinds, members, sizes, batch, optimizer, own, bias):
    population = Population(members, tuple(sizes), batch=batch, bias=bias)
    own_axis = {name: [members] * (name in own) for name in ("data", "order", "masks")}
    population.data = tuple(population.uniform(*own_axis["data"], 20, *shape) for shape in (sizes[:1], sizes[-1:], ()))
    population.indices = population.generator.integers(-20, 20, (STEPS, *own_axis["order"], batch), "int32")
    if "order" in own:
        population.own_indices = population.indices % 20 + 20 * np.arange(members, dtype="int32")[:, None]
    population.masks = tuple(2.0 * (population.uniform(STEPS, *own_axis["masks"], batch, width) > 0.5) for width in sizes[1:-1])
    assert_replays(kinds, pieces_of(["tanh"] * (len(sizes) - 1), optimizer=OPTIMIZERS[optimizer](0.01)), population)


def test_members_do_what_single_networks_do(kinds):
    pieces, population = pieces_of(["tanh", "identity"], optimizer=Adam(0.01)), Population()
    found = replayed(pieces, population)
    for member in range(population.members):
        single = Population()
        single.layers = [Layer(layer.weight[member], layer.bias[member]) for layer in population.layers]
        progress = called(pieces, single)
        assert_close([Layer(*(each[member] for each in layer)) for layer in found.layers], progress.layers)
        assert found.state.count == STEPS


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_member_has_the_same_bits_in_any_place(dtype):
    pieces, population = pieces_of(["tanh", "sigmoid"], optimizer=Adam(0.01)), Population(37, dtype=dtype)
    whole = replayed(pieces, population)
    order = population.generator.permutation(37)[:23]
    population.members = len(order)
    population.layers = [Layer(*(each[order] for each in layer)) for layer in population.layers]
    part = replayed(pieces, population)
    for mine, theirs in zip(leaves(part.layers), leaves(whole.layers), strict=True):
        assert mine.tobytes() == theirs[order].tobytes()


def test_data_that_are_one_array_in_one_run_need_not_be_in_the_next(kinds):
    def choose(scale, carry, data, item):
        (numbers,), (first, second) = carry, data
        return (numbers + scale * numbers * (second + item * (first - second)),)

    one, other = np.random.default_rng(0).normal(size=(2, 4, 3))
    start, chosen = np.random.default_rng(1).normal(size=(11, 4, 3)), np.array([1.0, 0.0, 0.0])
    for scale, data in ((0.7, (one, one)), (0.7, (one, other)), (0.2, (one, other)), (0.2, (other, one))):
        found = looped(bp.select_backend("numpy", dtype="float64"), choose, scale)(data)((start,), chosen, 3)
        expected = (start,)
        for item_of_step in chosen:
            expected = choose(scale, expected, data, item_of_step)
        assert_close(found, expected)
    assert kinds == {kinds.expected}


@LANES
def test_programs_that_do_not_suit_are_tried_once(kinds, monkeypatch):
    from portable_bp.backends.graph.printers.lanes import LaneSource  # here, since it needs Numba's LLVM

    printed = []
    monkeypatch.setattr(population_printer, "MAX_WORKING_SET", 1)
    monkeypatch.setattr(LANE_SOURCE, lambda *given: printed.append(given) or LaneSource(*given))
    for rate in (0.1, 0.2):
        replayed(pieces_of(["tanh", "identity"], optimizer=SGD(rate)), Population())
    assert len(printed) == 1


@LANES
def test_several_threads_do_the_same(monkeypatch):
    pieces, population = pieces_of(["tanh", "sigmoid"]), Population(100)
    found = []
    for work in (0, 10**12):
        monkeypatch.setattr("portable_bp.backends.graph.printers.population.MIN_SHARED_WORK", work)
        monkeypatch.setattr("portable_bp.backends.graph.printers.population.usable_threads", lambda: 4)
        found.append([each.tobytes() for each in leaves(replayed(pieces, population))])
    assert found[0] == found[1]


@LANES
def test_other_sizes_need_no_other_code():
    pieces = pieces_of(["tanh", "sigmoid"])
    replayed(pieces, Population())
    known = machine_code._find.cache_info().misses
    replayed(pieces, Population(50, (7, 9, 4), samples=33, batch=6))
    assert machine_code._find.cache_info().misses == known


@LANES
def test_other_numbers_are_not_printed_again(kinds, monkeypatch):
    def pieces(first, last, epsilon):
        rates = np.linspace(first, last, 11).tolist()
        return pieces_of(["tanh", "identity"], optimizer=Penalized(Adam(rates, epsilon=epsilon), rates[::-1]))

    replayed(pieces(0.01, 0.1, 1e-8), Population())
    monkeypatch.setattr(LANE_SOURCE, lambda *_: pytest.fail("it is printed again"))
    assert_replays(kinds, pieces(0.5, 0.2, 0.3), Population(seed=1))
    assert_replays(kinds, pieces(0.1, 0.3, 0.1), Population(seed=2))


@LANES
def test_a_later_run_finds_the_code():
    pieces, population = pieces_of(["tanh", "sigmoid"]), Population()
    first = replayed(pieces, population)
    machine_code._find.cache_clear()
    population_printer._programs.clear()
    cache.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_code, "_optimized", lambda *_: pytest.fail("it is compiled again"))
        second = replayed(pieces, population)
    assert_close(second, first)


def test_other_data_and_a_last_smaller_batch(kinds):
    """What was prepared is used again, with other data and for another size of batch."""
    pieces = pieces_of(["tanh", "sigmoid"], optimizer=Adam(0.01))
    loop = looped(bp.select_backend("numpy", dtype="float64"), step, pieces)
    for seed in range(3):
        population = Population(seed=seed)
        run, progress, expected = loop(population.data), population.progress(pieces.optimizer), None
        for size in (4, 3):
            batches = Batch(population.indices[:, :size], population.masks)
            expected = expected or progress
            progress = run(progress, batches, STEPS)
            for number in range(STEPS):
                expected = step(pieces, expected, population.data, item(batches, number))
        assert_close(progress, expected)
        assert population.data[0].flags.c_contiguous
    assert kinds == {kinds.expected}


def test_arrays_that_are_not_contiguous(kinds):
    """Constants, data, items and weights are read in their order."""
    population = Population()
    constant = population.normal(3, 5).T
    population.data = population.normal(3, 20).T, np.asfortranarray(population.data[1]), None
    population.indices = np.asfortranarray(population.indices)
    population.layers = [Layer(np.asfortranarray(weight), bias) for weight, bias in population.layers]

    def step_with_constant(pieces, progress, data, batch):
        new = step(pieces, progress, data, batch)
        first, *others = new.layers
        return new._replace(layers=[Layer(first.weight * constant, first.bias), *others])

    assert_replays(kinds, pieces_of(["tanh", "identity"]), population, step=step_with_constant)


@pytest.mark.parametrize(
    "kinds, limit, value",
    [("lanes", "population.MAX_WORKING_SET", 2**10), ("blocks", "block.MAX_MULTIPLICATIONS", 100)],
    indirect=["kinds"],
)
def test_wide_networks_are_left_to_numpy(kinds, monkeypatch, limit, value):
    monkeypatch.setattr(f"portable_bp.backends.graph.printers.{limit}", value)
    pieces, population = pieces_of(["tanh", "sigmoid"]), Population()
    found = replayed(pieces, population)
    assert kinds.expected not in kinds
    assert_close(found, called(pieces, population))


@LANES
@pytest.mark.parametrize("expected, kind", [(10, calls.Executable), (10**5, PopulationExecutable)])
def test_compiling_pays_off_for_many_steps(kinds, monkeypatch, expected, kind):
    monkeypatch.delenv("PORTABLE_BP_COMPILE")
    pieces, population = pieces_of(["tanh", "identity"]), Population()
    run = looped(bp.select_backend("numpy", dtype="float64"), step, pieces)(population.data)
    run(population.progress(pieces.optimizer), population.batches(), STEPS, expected, expected)
    assert kinds == {kind}


def test_steps_that_combine_members_are_called_or_replayed_by_numpy(kinds):
    def mixed(pieces, progress, data, batch):
        new = step(pieces, progress, data, batch)
        weight = new.layers[0].weight
        centered = weight - np.mean(weight, axis=0, keepdims=True)
        return new._replace(layers=[Layer(centered, new.layers[0].bias), *new.layers[1:]])

    pieces, population = pieces_of(["tanh", "sigmoid"]), Population()
    found = replayed(pieces, population, step=mixed)
    assert kinds.expected not in kinds
    assert_close(found, called(pieces, population, mixed))
