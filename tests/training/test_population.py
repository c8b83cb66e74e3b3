"""A population: each member is what a single network with its seed would be, whatever happens to the others."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import portable_bp as bp
from portable_bp.training import population
from tests.support.networks import parameters
from tests.support.targets import ON_DEVICES, Target

GENERATOR = np.random.default_rng(0)
SAMPLES, MEMBERS = 23, 3
X = GENERATOR.normal(size=(SAMPLES, 3))
TARGET = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
OWN_X, OWN_TARGET = GENERATOR.normal(size=(MEMBERS, SAMPLES, 3)), GENERATOR.normal(size=(MEMBERS, SAMPLES, 2))
OWN_WEIGHT = GENERATOR.uniform(0.5, 2.0, size=(MEMBERS, SAMPLES))
CLASSES = GENERATOR.integers(0, 3, size=(MEMBERS, SAMPLES))
RATES = (0.01, 0.1, 0.05)


def assert_same(member, single, rtol=1e-12):
    """Compare relative to the size of the numbers: those of one layer may cancel."""
    for mine, expected in zip(parameters(member), parameters(single), strict=True):
        assert mine.shape == expected.shape and mine.dtype == expected.dtype
        np.testing.assert_allclose(mine, expected, rtol=rtol, atol=rtol)


def assert_same_history(mine, expected):
    for name in ("loss", "validation_loss"):
        np.testing.assert_allclose(getattr(mine, name), getattr(expected, name), rtol=1e-11, atol=1e-14)
    assert (mine.best_epoch, mine.stop_reason) == (expected.best_epoch, expected.stop_reason)


def assert_members_equal(make, fit, members=MEMBERS, seed=5):
    """Train a population and each member alone: ``make(**options)`` makes networks, ``fit(network, k)`` trains one."""
    together = make(seed=seed, population=members)
    fit(together, None)
    for member in range(members):
        single = make(seed=seed + member)
        fit(single, member)
        assert_same(together.member(member), single)
        assert_same_history(together.history[member], single.history)
    return together


def of(numbers, member):
    """Return all numbers for the population, or that of a member."""
    return list(numbers) if member is None else numbers[member]


@ON_DEVICES
def test_members_equal_single_networks(on_target, optimizer="adam"):
    def fit(network, member):
        options = {"optimizer": optimizer, "learning_rate": 0.02, "epochs": 3, "batch_size": 10, "dropout": 0.2}
        network.fit(X, TARGET, validation_data=(X[:9], TARGET[:9]), **options)

    assert_members_equal(lambda **options: on_target.network([3, 5, 4, 2], "tanh", "identity", **options), fit)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    members=st.integers(1, 5),
    activation=st.sampled_from(["sigmoid", "relu", "gelu", "softplus"]),
    loss=st.sampled_from(["squared_error", "absolute_error", "huber", "cross_entropy", "binary_cross_entropy", "quantile"]),
    optimizer=st.sampled_from(["sgd", "nesterov", "rmsprop", "adam"]),
    batch_size=st.sampled_from([None, 1, 7, SAMPLES]),
    bias=st.booleans(),
    rate=st.sampled_from([0.0, 0.3]),
)
def test_members_of_any_population(sizes, members, activation, loss, optimizer, batch_size, bias, rate):
    outputs = 3 if loss == "cross_entropy" else 2
    target = {"cross_entropy": CLASSES[0], "binary_cross_entropy": (TARGET > 0.0) * 1.0}.get(loss, TARGET)

    def make(**options):
        return bp.Network([3, *sizes, outputs], activation, "identity", bias, backend="numpy", dtype="float64", **options)

    def fit(network, member):
        options = {"optimizer": optimizer, "learning_rate": 0.01, "epochs": 2, "batch_size": batch_size, "dropout": rate}
        # Without weights, slopes of 1 and -1 may add up to zero but for rounding, which Adam would divide by its own size.
        network.fit(X, target, loss, sample_weight=OWN_WEIGHT[0], **options)

    assert_members_equal(make, fit, members)


OPTIMIZERS = {
    "sgd with steps": lambda n: bp.optimizers.SGD(bp.schedules.Step(n(RATES), n((2, 3, 4)), n((0.1, 0.2, 0.3)))),
    "momentum": lambda n: bp.optimizers.Momentum(n(RATES), n((0.1, 0.9, 0.5))),
    "nesterov, warm up": lambda n: bp.optimizers.Nesterov(bp.schedules.WarmUp(n(RATES), n((2, 9, 4))), n((0.1, 0.9, 0.5))),
    "rmsprop, cosine": lambda n: bp.optimizers.RMSProp(
        bp.schedules.Cosine(n(RATES), n((5, 9, 30)), n((0.0, 0.001, 0.002))), n((0.9, 0.99, 0.5)), n((1e-8, 1e-6, 1e-3))
    ),
    "adam, exponential": lambda n: bp.optimizers.Adam(
        bp.schedules.Exponential(n(RATES), 0.9), n((0.8, 0.9, 0.5)), n((0.99, 0.999, 0.9)), n((1e-8, 1e-6, 1e-3))
    ),
    "adamw": lambda n: bp.optimizers.AdamW(n(RATES), weight_decay=n((0.0, 0.1, 0.5))),
    "clipped and penalized": lambda n: bp.optimizers.Clipped(
        bp.optimizers.Penalized(bp.optimizers.SGD(n(RATES)), n((0.0, 0.01, 0.1)), n((0.2, 0.1, 0.0))), n((0.1, 0.5, 2.0))
    ),
    "steered": lambda n: bp.optimizers.Steered(bp.optimizers.SGD(n(RATES))),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_numbers_of_each_member(name):
    assert_numbers(Target("numpy"), name)


@ON_DEVICES
def test_numbers_of_each_member_everywhere(on_target):
    assert_numbers(on_target, "clipped and penalized")


def assert_numbers(target, name):
    def fit(network, member):
        optimizer = OPTIMIZERS[name](lambda numbers: of(numbers, member))
        network.fit(X, TARGET, optimizer=optimizer, epochs=3, batch_size=10, dropout=of((0.0, 0.2, 0.5), member))

    assert_members_equal(lambda **options: target.network([3, 4, 2], "tanh", "identity", **options), fit)


@pytest.mark.parametrize("own", ["x", "target", "sample_weight", "all"])
@pytest.mark.parametrize("batch_size", [None, 10])
def test_data_of_each_member(own, batch_size):
    assert_own_data(Target("numpy"), own, batch_size)


@ON_DEVICES
def test_data_of_each_member_everywhere(on_target):
    assert_own_data(on_target, "all", 10)


def assert_own_data(where, own, batch_size):
    def fit(network, member):
        def given(name, shared, of_all):
            if own not in (name, "all"):
                return shared
            return of_all if member is None else of_all[member]

        data = given("x", X, OWN_X), given("target", TARGET, OWN_TARGET)
        weight = given("sample_weight", OWN_WEIGHT[0], OWN_WEIGHT)
        network.fit(*data, epochs=2, batch_size=batch_size, sample_weight=weight, validation_data=(*data, weight))

    assert_members_equal(lambda **options: where.network([3, 4, 2], "tanh", "identity", **options), fit)


def test_classes_of_each_member():
    def fit(network, member):
        network.fit(X, CLASSES if member is None else CLASSES[member], "cross_entropy", epochs=2, batch_size=10)

    assert_members_equal(lambda **options: Target("numpy").network([3, 4, 3], "tanh", "softmax", **options), fit)


@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize("validated", [False, True])
def test_early_stopping_of_each_member(batch_size, validated):
    together = assert_early_stopping(Target("numpy"), (0.02, 2.0, 0.8, 0.3, 5.0), 25, batch_size, validated)
    assert len(set(together.history.epochs.tolist())) > 2


@ON_DEVICES
def test_early_stopping_of_each_member_everywhere(on_target):
    assert_early_stopping(on_target, (0.02, 2.0), 8, 10, True)


def assert_early_stopping(target, rates, epochs, batch_size, validated):
    """With a rate of their own, members stop one after the other."""
    validation = {"validation_data": (X[:9] + 0.3, TARGET[:9])} if validated else {}

    def fit(network, member):
        options = {"learning_rate": of(rates, member), "epochs": epochs, "batch_size": batch_size}
        network.fit(X, TARGET, callbacks=[bp.EarlyStopping(patience=2)], **options, **validation)

    def make(**options):
        return target.network([3, 4, 2], "tanh", "identity", **options)

    return assert_members_equal(make, fit, members=len(rates))


def test_stopped_members_are_not_computed():
    active = np.ones(10, bool)
    assert population.computed_members(active).tolist() == list(range(10))
    active[[0, 1, 2, 3]] = False
    assert population.computed_members(active).tolist() == list(range(10))
    active[4] = False
    assert population.computed_members(active).tolist() == [5, 6, 7, 8, 9]
    active[5] = False
    assert population.computed_members(active).tolist() == [0, 6, 7, 8, 9]
    active[6:9] = False
    assert population.computed_members(active).tolist() == [9]


@hypothesis.given(st.lists(st.booleans(), min_size=1, max_size=40).filter(any))
def test_all_active_members_are_computed(given):
    active = np.array(given)
    computed = population.computed_members(active)
    assert set(np.flatnonzero(active)) <= set(computed.tolist()) and len(set(computed.tolist())) == len(computed)
    assert len(computed) == len(active) or len(computed) < 2 * active.sum() + 1


@ON_DEVICES
def test_a_callback_stops_some_members(on_target):
    network = on_target.network([3, 4, 2], "tanh", "identity", seed=0, population=MEMBERS)
    seen = []

    def stop(training):
        seen.append([network.backend.to_numpy(layer.weight).copy() for layer in training.layers])
        if training.epoch == 2:
            training.stop("enough", np.array([True, False, True]))

    history = network.fit(X, TARGET, epochs=4, batch_size=10, callbacks=[stop])
    assert history.stop_reason == ["enough", None, "enough"] and history.epochs.tolist() == [2, 4, 2]
    for second, last in zip(seen[1], seen[3], strict=True):
        assert np.array_equal(second[[0, 2]], last[[0, 2]]) and not np.array_equal(second[1], last[1])
    assert np.isnan(history.loss[3][[0, 2]]).all() and np.isfinite(history.loss[3][1])


@ON_DEVICES
def test_a_member_that_diverges_is_set_aside(on_target):
    rates = (0.1, 1e30, 0.1, 1e60)

    def make(**options):
        return on_target.network([3, 5, 4, 2], "tanh", "identity", **options)

    together = make(seed=1, population=4)
    options = {"epochs": 6, "batch_size": 8}
    with pytest.warns(UserWarning) as caught:
        history = together.fit(X, 10.0 * TARGET, learning_rate=list(rates), **options)
    assert history.diverged.tolist() == [False, True, False, True] and history.epochs[1] > history.epochs[3]
    for member, warning in zip((3, 1), caught, strict=True):
        assert f"member {member} (batch " in str(warning.message) and warning.filename == __file__
    for member, rate in enumerate(rates):
        single = make(seed=1 + member)
        if history.diverged[member]:
            with pytest.raises(bp.DivergenceError) as error:
                single.fit(X, 10.0 * TARGET, learning_rate=rate, **options)
            assert history.stop_reason[member].removeprefix("it diverged in ") in str(error.value)
        else:
            single.fit(X, 10.0 * TARGET, learning_rate=rate, **options)
        assert_same(together.member(member), single, rtol=1e-10)


def test_all_members_diverge():
    network = bp.Network([3, 5, 4, 2], "tanh", backend="numpy", dtype="float64", seed=1, population=2)
    with pytest.raises(bp.DivergenceError, match="all 2 members diverged"):
        network.fit(X, 10.0 * TARGET, learning_rate=1e30, epochs=6, batch_size=8)
    for member in range(2):
        single = bp.Network([3, 5, 4, 2], "tanh", backend="numpy", dtype="float64", seed=1 + member)
        with pytest.raises(bp.DivergenceError):
            single.fit(X, 10.0 * TARGET, learning_rate=1e30, epochs=6, batch_size=8)
        assert_same(network.member(member), single)


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_blocks_of_members_where_memory_is_short(monkeypatch, limit):
    """The limit is the number of members whose steps fit into memory."""
    looped, sizes = population.PopulationRun._loop, set()

    def loop(self, block):
        sizes.add(len(block))
        if len(block) > limit:
            raise MemoryError("Unable to allocate 7.45 GiB for an array")
        return looped(self, block)

    monkeypatch.setattr(population.PopulationRun, "_loop", loop)

    def fit(network, member):
        optimizer = bp.optimizers.Adam(of((0.01, 0.02, 0.03, 0.04, 0.05), member))
        network.fit(X, TARGET, optimizer=optimizer, epochs=3, batch_size=10, dropout=0.2, validation_data=(X, TARGET))

    def make(**options):
        return bp.Network([3, 4, 2], "tanh", backend="numpy", dtype="float64", **options)

    assert_members_equal(make, fit, members=5)
    assert limit >= max(size for size in sizes if size <= limit) > limit // 2


def test_memory_that_is_too_short_for_one_member(monkeypatch):
    def loop(self, block):
        raise MemoryError("Unable to allocate 7.45 GiB for an array")

    monkeypatch.setattr(population.PopulationRun, "_loop", loop)
    network = bp.Network([3, 4, 2], backend="numpy", seed=0, population=3)
    before = parameters(network)
    with pytest.raises(MemoryError, match="batch_size"):
        network.fit(X, TARGET)
    assert all(np.array_equal(*pair) for pair in zip(before, parameters(network), strict=True))


@pytest.mark.parametrize("every", [None, 1, 2])
@pytest.mark.parametrize(
    "draws",
    [{"batch_size": 8, "dropout": 0.2}, {"batch_size": 8, "shared_order": True}, {}],
    ids=["orders and masks", "one order", "nothing"],
)
def test_a_resumed_training_is_the_same(tmp_path, every, draws):
    pytest.importorskip("safetensors")
    options = {"optimizer": bp.optimizers.Adam(list(RATES)), "validation_data": (X, TARGET), **draws}

    def run(epochs, **more):
        network = bp.Network([3, 4, 2], "tanh", backend="numpy", dtype="float64", seed=0, population=MEMBERS)
        network.fit(X, TARGET, batch_size=10)  # the generators are no longer as the seeds made them
        network.fit(X, TARGET, epochs=epochs, callbacks=[bp.EarlyStopping(1)], **options, **more)
        return network

    whole = run(8)
    checkpoint = {"checkpoint": tmp_path / "run", "checkpoint_every": every}
    run(3, **checkpoint)
    resumed = run(8, **checkpoint, resume=True)
    assert all(np.array_equal(*pair) for pair in zip(parameters(resumed), parameters(whole), strict=True))
    np.testing.assert_array_equal(resumed.history.loss, whole.history.loss)
    assert resumed.history.stop_reason == whole.history.stop_reason and resumed.history.best_epoch == whole.history.best_epoch
    for each in (resumed, whole):
        each.fit(X, TARGET, batch_size=10)
    assert all(np.array_equal(*pair) for pair in zip(parameters(resumed), parameters(whole), strict=True))


def test_a_checkpoint_of_another_kind_is_refused(tmp_path):
    pytest.importorskip("safetensors")
    kinds = {name: {"population": members} if members else {} for name, members in (("one", 0), ("two", 2), ("three", 3))}
    for name, options in kinds.items():
        path = tmp_path / name
        bp.Network([3, 4, 2], backend="numpy", seed=0, **options).fit(X, TARGET, checkpoint=path)
        for other, others in kinds.items():
            network = bp.Network([3, 4, 2], backend="numpy", seed=0, **others)
            if other != name:
                with pytest.raises((ValueError, bp.ModelFileError), match=str(path)):
                    network.fit(X, TARGET, epochs=2, checkpoint=path, resume=True)
                assert network.history is None


@ON_DEVICES
def test_a_shared_order(on_target):
    """The first member trains as alone, and equal members stay equal."""
    first = on_target.network([3, 4, 2], "tanh", "identity", seed=0)
    first.fit(X, TARGET, epochs=2, batch_size=10)
    for seeds, shared, equal in (([0, 0], True, True), ([0, 1], True, False)):
        network = on_target.network([3, 4, 2], "tanh", "identity", seed=seeds, population=2)
        network.fit(X, TARGET, epochs=2, batch_size=10, shared_order=shared)
        assert_same(network.member(0), first)
        if equal:
            assert_same(network.member(1), first)


def test_repeated_fits_go_on():
    def fit(network, member):
        network.fit(X, TARGET, batch_size=10)
        network.fit(X, TARGET, batch_size=10)
        network.fit(X, TARGET, batch_size=10, seed=of((7, 8, 9), member), loss="huber")

    assert_members_equal(lambda **options: Target("numpy").network([3, 4, 2], "tanh", "identity", **options), fit)


def test_the_others_count_their_updates_on_when_a_member_diverges():
    """The learning rate of Adam and of a schedule depends on the number of updates so far."""

    def make(**options):
        return bp.Network([3, 4, 2], "relu", "identity", backend="numpy", dtype="float64", **options)

    for optimizer in (bp.optimizers.Adam, lambda rate: bp.optimizers.SGD(bp.schedules.Cosine(rate, over=20))):
        together, single = make(seed=0, population=2), make(seed=0)
        with pytest.warns(UserWarning, match="infinite or NaN in member 1"):
            together.fit(X, TARGET, optimizer=optimizer([0.02, 1e100]), epochs=8, batch_size=5)
        single.fit(X, TARGET, optimizer=optimizer(0.02), epochs=8, batch_size=5)
        assert_same(together.member(0), single)


def ending(ends, member):
    """Return a callback that ends each member after an epoch of its own."""

    def stop(training):
        now = np.array(ends) == training.epoch
        training.stop("enough", now if member is None else bool(now[member]))

    return stop


def test_members_that_ended_draw_nothing_more():
    def fit(network, member):
        for _ in range(2):
            network.fit(X, TARGET, epochs=5, batch_size=10, dropout=0.2, callbacks=[ending((2, 99, 4), member)])

    assert_members_equal(lambda **options: Target("numpy").network([3, 4, 2], "tanh", "identity", **options), fit)


def test_a_callback_cannot_change_members_that_ended():
    def shrink(training):
        training.layers = [bp.Layer(0.9 * layer.weight, 0.9 * layer.bias) for layer in training.layers]

    def fit(network, member):
        network.fit(X, TARGET, epochs=6, batch_size=10, callbacks=[shrink, ending((2, 99, 4), member)])

    together = assert_members_equal(lambda **options: Target("numpy").network([3, 4, 2], "tanh", "identity", **options), fit)
    assert together.history.epochs.tolist() == [2, 6, 4]


def test_a_reason_is_kept_once_a_member_has_ended():
    network = bp.Network([3, 4, 2], backend="numpy", seed=0, population=3)

    def stop(training):
        training.stop(f"after {training.epoch}", np.array([True, training.epoch > 1, False]))

    assert network.fit(X, TARGET, epochs=3, callbacks=[stop]).stop_reason == ["after 1", "after 2", None]


@pytest.mark.parametrize("beta", [0.999, 0.99999, 0.9999999])
def test_shares_close_to_one_keep_their_digits_in_float32(beta):
    def make(**options):
        return bp.Network([3, 4, 2], "tanh", backend="numpy", dtype="float32", **options)

    together, single = make(seed=0, population=2), make(seed=0)
    together.fit(X, TARGET, optimizer=bp.optimizers.Adam(0.01, beta_2=[beta, 0.9]), epochs=20)
    single.fit(X, TARGET, optimizer=bp.optimizers.Adam(0.01, beta_2=beta), epochs=20)
    np.testing.assert_allclose(together.layers[0].weight[0], single.layers[0].weight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dropout", [[0.1, 0.2, 0.3], np.full((3, 1), 0.2)])
def test_a_checkpoint_of_rates_of_each_member(tmp_path, dropout):
    pytest.importorskip("safetensors")
    network = bp.Network([3, 4, 2], backend="numpy", seed=0, population=3)
    for epochs in (2, 4):
        network.fit(X, TARGET, dropout=dropout, epochs=epochs, checkpoint=tmp_path / "run", resume=True)
    assert len(network.history.loss) == 4


@pytest.mark.parametrize("rate", [0.05, np.array([0.05, 0.1, 0.2])])
@pytest.mark.parametrize("start", [0.1, [0.1, 0.2, 0.3]])
def test_a_callback_changes_the_rates_and_a_checkpoint_keeps_them(tmp_path, rate, start):
    pytest.importorskip("safetensors")

    def steer(training):
        training.state = training.state._replace(rate=rate)

    options = {"optimizer": bp.optimizers.Steered(bp.optimizers.SGD(start)), "callbacks": [steer]}
    networks = [bp.Network([3, 4, 2], backend="numpy", dtype="float64", seed=0, population=3) for _ in range(2)]
    networks[0].fit(X, TARGET, epochs=4, **options)
    for epochs in (2, 4):
        networks[1].fit(X, TARGET, epochs=epochs, checkpoint=tmp_path / "run", resume=True, **options)
    assert_same(*networks)


def test_early_stopping_begins_anew_if_a_member_diverges_at_once():
    stopping = bp.EarlyStopping(5)
    bp.Network([3, 4, 2], backend="numpy", seed=0, population=3).fit(X, TARGET, epochs=3, callbacks=[stopping])
    network = bp.Network([3, 5, 2], backend="numpy", dtype="float64", seed=0, population=3)
    with pytest.warns(UserWarning, match="infinite or NaN in member 1"):
        network.fit(X, 1e3 * TARGET, learning_rate=[0.001, 1e200, 0.001], epochs=3, batch_size=4, callbacks=[stopping])
    assert network.history.diverged.tolist() == [False, True, False]


@hypothesis.given(st.integers(1, 12), st.integers(1, 8), st.booleans(), st.booleans())
@hypothesis.settings(max_examples=25)
def test_the_ranking_is_that_of_the_weights(patience, members, one_step, validated):
    network = bp.Network([3, 4, 2], "tanh", backend="numpy", dtype="float64", seed=0, population=members)
    options = {"batch_size": None if one_step else 8, "learning_rate": np.linspace(0.3, 2.0, members).tolist()}
    options |= {"validation_data": (X[:9] + 0.2, TARGET[:9])} if validated else {}
    history = network.fit(X, TARGET, epochs=20, callbacks=[bp.EarlyStopping(patience)], **options)
    if validated:
        losses = network.loss(X[:9] + 0.2, TARGET[:9])
        assert [losses[k] for k in history.ranking()] == pytest.approx(sorted(losses))
    elif one_step and all(best < last for best, last in zip(history.best_epoch, history.epochs, strict=True)):
        # The last training loss of a single step is that of the weights before.
        losses = network.loss(X, TARGET)
        assert [losses[k] for k in history.ranking("loss")] == pytest.approx(sorted(losses))


def test_ranking_by_the_initial_weights():
    """With a rate that is far too large, early stopping keeps the initial weights."""
    network = bp.Network.from_weights([np.array([[[0.99]], [[0.5]]])], activation="identity", backend="numpy", dtype="float64")
    rates = bp.optimizers.SGD([4.0, 0.001])
    history = network.fit(np.ones((4, 1)), np.ones(4), optimizer=rates, epochs=20, callbacks=[bp.EarlyStopping(10)])
    assert history.best_epoch == [0, 20] and history.ranking("loss") == [0, 1]


def test_few_sets_of_members_are_computed(monkeypatch):
    """Members end one by one, and the data of those that are computed are not copied each time."""
    made, looped = [], population.PopulationRun._loop

    def loop(self, block):
        made.append(block.tobytes())
        assert len(self._loops) <= 1
        return looped(self, block)

    monkeypatch.setattr(population.PopulationRun, "_loop", loop)
    network = bp.Network([3, 4, 2], backend="numpy", seed=0, population=16)
    network.fit(X, TARGET, epochs=16, callbacks=[lambda training: training.stop("", np.arange(16) == training.epoch - 1)])
    assert len(set(made)) == 5


def test_the_validation_loss_is_measured_in_blocks_where_memory_is_short(monkeypatch):
    fetch = population.fetch_losses

    def fetch_few(settings, progress, samples, validation):
        if progress.total.shape[0] > 2:
            raise MemoryError("Unable to allocate 7.45 GiB for an array")
        return fetch(settings, progress, samples, validation)

    networks = [bp.Network([3, 4, 2], backend="numpy", dtype="float64", seed=0, population=5) for _ in range(2)]
    networks[0].fit(X, TARGET, epochs=3, validation_data=(X, TARGET))
    monkeypatch.setattr(population, "fetch_losses", fetch_few)
    networks[1].fit(X, TARGET, epochs=3, validation_data=(X, TARGET))
    assert_same(*networks)
    np.testing.assert_allclose(networks[1].history.validation_loss, networks[0].history.validation_loss, rtol=1e-12)
