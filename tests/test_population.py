"""What a population offers besides training: members, stacks, rankings, files, and clear errors."""

import copy
import pickle

import numpy as np
import pytest

import portable_bp as bp
from tests.support.networks import bits, parameters
from tests.support.targets import ON_DEVICES

GENERATOR = np.random.default_rng(0)
X, TARGET = GENERATOR.normal(size=(11, 3)), GENERATOR.normal(size=(11, 2))
OWN_X = GENERATOR.normal(size=(4, 11, 3))


def make(population=4, **options):
    return bp.Network([3, 5, 2], "tanh", backend="numpy", dtype="float64", seed=0, population=population, **options)


@ON_DEVICES
def test_every_method_of_members_and_population_agree(on_target):
    network = on_target.network([3, 5, 2], "tanh", "identity", seed=0, population=4)
    assert len(network) == network.population == 4 and network and network.layers[0].weight.shape == (4, 5, 3)
    for member in range(4):
        single = network.member(member)
        assert single.population is None and bits(single) == bits(on_target.network([3, 5, 2], "tanh", "identity", seed=member))
        for given, own in ((X, X), (X[0], X[0]), (OWN_X, OWN_X[member])):
            on_target.assert_close(network.predict(given)[member, ...], on_target.values(single.predict(own)))
            for mine, expected in zip(network.hidden(given), single.hidden(own), strict=True):
                on_target.assert_close(mine[member, ...], on_target.values(expected))
            target = TARGET[0] if own.ndim == 1 else TARGET
            on_target.assert_close(network.loss(given, target)[member, ...], on_target.values(single.loss(own, target)))
            slope = network.input_gradient(given, target)[member, ...]
            on_target.assert_close(slope, on_target.values(single.input_gradient(own, target)), atol=1e-15)
            for mine, expected in zip(network.gradient(given, target), single.gradient(own, target), strict=True):
                on_target.assert_close(mine.weight[member, ...], on_target.values(expected.weight), atol=1e-15)
                on_target.assert_close(mine.bias[member, ...], on_target.values(expected.bias), atol=1e-15)


@ON_DEVICES
def test_a_stack_of_members_is_the_population(on_target):
    network = on_target.network([3, 5, 2], "tanh", "identity", seed=0, population=3)
    stacked = bp.Network.stack([network.member(k) for k in range(3)])
    assert bits(stacked) == bits(network)
    for each in (network, stacked):
        each.fit(X, TARGET, batch_size=4)
    assert bits(stacked) == bits(network)


def test_members_are_copies_that_go_on_as_the_population_would():
    network = make()
    member = network.member(-1)
    member.fit(X, TARGET, batch_size=4, epochs=2)
    assert bits(network) == bits(make())
    network.fit(X, TARGET, batch_size=4, epochs=2)
    for mine, expected in zip(parameters(network.member(3)), parameters(member), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_large_batches_are_predicted_in_chunks(monkeypatch):
    from portable_bp.backends import chunks

    network = make()
    for x in (X, OWN_X):
        expected = network.predict(x)
        with monkeypatch.context() as patch:
            patch.setattr(chunks, "CHUNK_SIZE", 40)
            np.testing.assert_allclose(network.predict(x), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", [[3, 1, 4], np.array([3, 1, 4]), tuple(map(np.random.default_rng, (3, 1, 4)))])
def test_seeds_of_each_member(seed):
    network = bp.Network([3, 5, 2], backend="numpy", seed=seed, population=3)
    for member, own in enumerate((3, 1, 4)):
        assert bits(network.member(member)) == bits(bp.Network([3, 5, 2], backend="numpy", seed=own))


def test_a_generator_gives_members_generators_of_their_own():
    both = [bp.Network([3, 5, 2], backend="numpy", seed=np.random.default_rng(7), population=3) for _ in range(2)]
    assert bits(both[0]) == bits(both[1])
    assert len({bits(both[0].member(member))[0] for member in range(3)}) == 3


def test_the_best_members():
    network = make()
    network.fit(X, TARGET, epochs=3, validation_data=(OWN_X[0], TARGET))
    for by, losses in (("validation_loss", network.loss(OWN_X[0], TARGET)), ("loss", network.history.loss[-1])):
        order = np.argsort(losses).tolist()
        assert network.history.ranking(by) == order
        assert bits(network.best(by=by)) == bits(network.member(order[0]))
        two = network.best(2, by)
        assert [bits(two.member(k)) for k in range(2)] == [bits(network.member(k)) for k in order[:2]]


def test_the_best_member_is_that_of_the_kept_weights():
    network = make()
    network.fit(X, TARGET, epochs=30, learning_rate=0.9, validation_data=(OWN_X[0], TARGET), callbacks=[bp.EarlyStopping(3)])
    assert network.history.ranking() == np.argsort(network.loss(OWN_X[0], TARGET)).tolist()


def test_members_that_diverged_are_last():
    network = make(3)
    with pytest.warns(UserWarning, match="infinite or NaN"):
        network.fit(X, TARGET, epochs=40, learning_rate=[1e40, 0.1, 1e40])
    assert network.history.ranking("loss")[0] == 1


def test_copies_and_pickles():
    network = make()
    network.fit(X, TARGET, batch_size=4)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), network.to("numpy")):
        assert bits(twin) == bits(network)
        again = copy.deepcopy(network)
        for each in (twin, again):
            each.fit(X, TARGET, batch_size=4)
        assert bits(twin) == bits(again)


@ON_DEVICES
def test_a_model_file(on_target, tmp_path):
    pytest.importorskip("safetensors")
    network = on_target.network([3, 5, 2], "tanh", "identity", seed=0, population=3)
    network.fit(X, TARGET, batch_size=4)
    network.notes["of"] = "a population"
    network.save(tmp_path / "model")
    loaded = bp.load(tmp_path / "model", backend=on_target.flag)
    assert len(loaded) == 3 and bits(loaded) == bits(network) and loaded.notes == network.notes
    for each in (network, loaded):
        each.fit(X, TARGET, batch_size=4)
    assert bits(loaded) == bits(network)


def test_an_onnx_file_of_the_mean(tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    network = make()
    network.to_onnx(tmp_path / "mean")
    network.member(1).to_onnx(tmp_path / "member")
    for name, expected in (("mean", network.predict(X).mean(axis=0)), ("member", network.predict(X)[1])):
        (out,) = onnxruntime.InferenceSession(tmp_path / name).run(None, {"x": X})
        np.testing.assert_allclose(out, expected, rtol=1e-12)


def test_scikit_learns_layout():
    network, bare = make(), make(bias=False)
    assert [weight.shape for weight in network.coefs_] == [(4, 3, 5), (4, 5, 2)]
    assert [bias.shape for bias in network.intercepts_] == [bias.shape for bias in bare.intercepts_] == [(4, 5), (4, 2)]


def test_a_plot_of_the_losses():
    pytest.importorskip("matplotlib").use("agg")
    network = make(20)
    with pytest.raises(ValueError, match="no finished epoch"):
        bp.PopulationHistory(3).plot()
    ax = network.fit(X, TARGET, epochs=5, validation_data=(X, TARGET)).plot()
    assert ax.get_xlabel() == "epoch" and ax.collections


def mean_of_everything(net):
    return net - net.mean()


ERRORS = {
    "population is 0, and should be a whole number": lambda: make(0),
    "population is 2.5": lambda: make(2.5),
    "seed holds 2 seeds, and the population has 3 members": lambda: bp.Network([3, 2], seed=[1, 2], population=3),
    "holds a generator twice": lambda: bp.Network([3, 2], seed=[np.random.default_rng(0)] * 2, population=2),
    "learning_rate of SGD holds 2 numbers, and the population has 4": lambda: make().fit(X, TARGET, learning_rate=[0.1, 0.2]),
    "learning_rate of SGD for member 2 is -1": lambda: make().fit(X, TARGET, learning_rate=[0.1, 0.2, -1, 0.1]),
    "and this is a single network": lambda: make(None).fit(X, TARGET, learning_rate=[0.1, 0.2]),
    "momentum of Momentum holds 3 numbers": lambda: make().fit(X, TARGET, optimizer=bp.optimizers.Momentum(0.1, [0.1] * 3)),
    "l2 of Penalized holds 3": lambda: make().fit(
        X, TARGET, optimizer=bp.optimizers.Penalized(bp.optimizers.SGD(), l2=[1] * 3)
    ),
    "over of Cosine holds 2": lambda: make().fit(X, TARGET, learning_rate=bp.schedules.Cosine(0.1, [3, 4])),
    "for each of 4 members": lambda: make().fit(X, TARGET, dropout=[0.1, 0.2]),
    "as many members as hidden layers": lambda: bp.Network([3, 4, 4, 2], population=2).fit(X, TARGET, dropout=[0.1, 0.2]),
    "(4, samples, 3) for samples of each member's own": lambda: make().predict(OWN_X[:3]),
    "x has shape (4, 11, 3), and this network has 3 inputs": lambda: make(None).predict(OWN_X),
    "(4, ...) for targets of each member's own": lambda: make().fit(X, np.zeros((3, 11, 2))),
    "(4, 11) for weights of each member's own": lambda: make().fit(X, TARGET, sample_weight=np.ones((3, 11))),
    "or only zeros": lambda: make().fit(X, TARGET, sample_weight=np.eye(4)[:, [0] * 11]),
    "which may be classes for each of 2 members": lambda: bp.Network([3, 2], population=2).fit(
        X[:2], np.eye(2), "cross_entropy"
    ),
    "member 4 does not exist: the population has members 0 to 3": lambda: make().member(4),
    "k is 5, and the population has 4 members": lambda: trained().best(5),
    "was not trained": lambda: make().best(),
    "by is 'r2'": lambda: trained().best(by="r2"),
    "use by='loss'": lambda: trained().best(),
    "there are no networks to stack": lambda: bp.Network.stack([]),
    "network 1 has sizes (3, 2)": lambda: bp.Network.stack([make(None), bp.Network([3, 2])]),
    "network 1 has activations": lambda: bp.Network.stack([make(None), bp.Network([3, 5, 2], "relu")]),
    "in having biases": lambda: bp.Network.stack([make(None), make(None, bias=False)]),
    "network 1 is a population": lambda: bp.Network.stack([make(None), make()]),
    "the same number of members in each": lambda: bp.Network.from_weights([np.zeros((3, 4, 2)), np.zeros((2, 1, 4))]),
    "mixes the members of a population": lambda: make(output_activation=(mean_of_everything, lambda slope, signal: slope)),
    "Loss(value=<function": lambda: make().fit(X, TARGET, loss=(lambda out, y: ((out - y) ** 2).sum(-1), mean_of_out)),
    "fails for the arrays of a population": lambda: make().fit(X, TARGET, optimizer=(lambda layers: (), transposed)),
    "shared_order is 'no'": lambda: make().fit(X, TARGET, shared_order="no"),
    "is for the members of a population": lambda: make(None).fit(X, TARGET, shared_order=True),
    "dropout is '0.5'": lambda: make().fit(X, TARGET, dropout="0.5"),
    "a single network has none": lambda: make(None).fit(X, TARGET, callbacks=[lambda training: training.stop("", [True])]),
    "learning_rate of SGD for member 0 is <function": lambda: make().fit(X, TARGET, learning_rate=[mean_of_everything] * 4),
    "seed is array(3)": lambda: bp.Network([3, 2], seed=np.array(3), population=3),
    "an array of 4 booleans": lambda: make().fit(X, TARGET, callbacks=[lambda training: training.stop("now", [1, 2])]),
}


def trained():
    network = make()
    network.fit(X, TARGET)
    return network


def mean_of_out(out, target):
    return out - out.mean(axis=0)


def transposed(gradient, state, layers):
    return [
        bp.Layer(layer.weight - slope.weight.T.T @ np.ones(2), layer.bias)
        for layer, slope in zip(layers, gradient, strict=True)
    ], state


@pytest.mark.parametrize("message", ERRORS)
def test_errors_say_what_was_given_and_what_to_do(message):
    with pytest.raises((ValueError, IndexError)) as error:
        ERRORS[message]()
    assert message in str(error.value)


class Normalized:
    """Each step has the length 1e-5, of all members together."""

    def init(self, layers):
        return ()

    def update(self, gradient, state, layers):
        norm = np.sqrt(sum((layer.weight**2).sum() for layer in gradient))
        return [
            bp.Layer(old.weight - 1e-5 * new.weight / norm, old.bias) for old, new in zip(layers, gradient, strict=True)
        ], state


class ClippedAtFifty(Normalized):
    """Slopes are scaled down where the norm of all members is above 50."""

    def update(self, gradient, state, layers):
        scale = 50.0 / max(50.0, np.sqrt(sum((layer.weight**2).sum() for layer in gradient)))
        return [bp.Layer(old.weight - scale * new.weight, old.bias) for old, new in zip(layers, gradient, strict=True)], state


class Shared(Normalized):
    """Its state has as many numbers as there are members, but is none of theirs."""

    def init(self, layers):
        return (np.zeros(4),)


@pytest.mark.parametrize("optimizer", [Normalized(), ClippedAtFifty(), Shared()])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_optimizer_that_mixes_members_is_refused(optimizer, dtype):
    network = bp.Network([3, 5, 2], backend="numpy", dtype=dtype, seed=0, population=4)
    for given in (optimizer, bp.optimizers.Penalized(optimizer, l2=[0.1] * 4)):
        with pytest.raises(ValueError, match="mixes the members|is not that of the members"):
            network.fit(X, TARGET, optimizer=given)


def test_an_optimizer_and_a_schedule_that_are_functions():
    def update(gradient, state, layers):
        return [bp.Layer(old.weight - 0.1 * new.weight, old.bias) for old, new in zip(layers, gradient, strict=True)], state

    plain = bp.optimizers.Optimizer(lambda layers: (), update)
    for members in (None, 4):
        for optimizer in (bp.optimizers.Penalized(plain, l2=0.1), bp.optimizers.Clipped(plain), plain):
            make(members).fit(X, TARGET, optimizer=optimizer)
    make().fit(X, TARGET, learning_rate=lambda count: 0.1 / (1.0 + count))


class Named(bp.Network):
    """A subclass with an attribute of its own."""

    def __init__(self, *arguments, name="", **options):
        super().__init__(*arguments, **options)
        self.name = name


def test_members_of_a_subclass_keep_its_attributes():
    network = Named([3, 5, 2], backend="numpy", seed=0, population=3, name="mine")
    network.fit(X, TARGET)
    for other in (network.member(0), network.best(2, "loss"), Named.stack([network.member(k) for k in range(3)])):
        assert type(other) is Named and other.name == "mine"
    assert network.best(2, "loss").best(by="loss").history.loss == network.best(by="loss").history.loss


REFUSED = {
    "trace": lambda network: network.trace(X, TARGET),
    "to_torch": lambda network: pytest.importorskip("torch") and network.to_torch(),
    "check_gradient": lambda network: bp.check_gradient(network, X, TARGET),
    "draw": lambda network: pytest.importorskip("matplotlib") and bp.draw(network),
}


@pytest.mark.parametrize("method", REFUSED)
def test_what_only_a_single_network_has(method):
    with pytest.raises(TypeError, match=r"this is a population of 4 members: use network\.member\(k\)"):
        REFUSED[method](make())


@pytest.mark.parametrize("ask", [len, bp.Network.best, lambda network: network.member(0)])
def test_a_single_network_has_no_members(ask):
    assert make(None)
    with pytest.raises(TypeError, match="a single network has no members"):
        ask(make(None))


def test_a_failed_fit_changes_nothing():
    network = make()
    with pytest.raises(ValueError):
        network.fit(X, TARGET, learning_rate=[0.1])
    assert bits(network) == bits(make()) and network.history is None
