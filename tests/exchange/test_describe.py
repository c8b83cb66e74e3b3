"""The description of a population in a model file: its size, the shapes of its arrays, and a generator for each member."""

import json

import numpy as np
import pytest

import portable_bp as bp
from portable_bp.common.generators import pack_generators, unpack_generators
from portable_bp.exchange.describe import check_network, describe_network, name_arrays, version_of
from portable_bp.storage import read_arrays, write_arrays
from portable_bp.storage.named_arrays import FORMAT_VERSION

ACTIVATIONS = (bp.activations.Tanh(), bp.activations.Identity())


def draw_states(members):
    """Return the states of generators, of which every other one keeps half of the last number that it drew."""
    generators = [np.random.default_rng([7, member]) for member in range(members)]
    for generator in generators[::2]:
        generator.integers(2**32, dtype=np.uint32)
    return [generator.bit_generator.state for generator in generators]


def describe_population(members, bias=True, dtype="float32"):
    """Return the facts and the arrays of a population's file."""
    shapes = [(4, 2), (3, 4)]
    weights = [np.full((members, *shape), 0.5, dtype) for shape in shapes]
    layers = [bp.Layer(weight, np.zeros(weight.shape[:2], dtype) if bias else None) for weight in weights]
    facts = describe_network(layers, dtype, ACTIVATIONS, bp.losses.SquaredError()) | {"notes": {}}
    return facts, name_arrays(layers) | {"generators": pack_generators(draw_states(members))}


def read_again(path, facts, arrays):
    write_arrays(path, "model", arrays, facts, version=version_of(facts, {}))
    return read_arrays(path, "model", check_network)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("members", [1, 3])
def test_a_population_is_read_again(tmp_path, members, bias, dtype):
    facts, arrays = describe_population(members, bias, dtype)
    found = read_again(tmp_path / "model.safetensors", facts, arrays)
    assert (found.facts["population"], found.facts["sizes"], found.facts["bias"]) == (members, [2, 4, 3], bias)
    assert found.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, strict=True)
    assert unpack_generators(found.arrays["generators"]) == draw_states(members)


def test_a_single_network_has_no_population():
    layers = [bp.Layer(np.zeros((4, 2)), None)]
    facts = describe_network(layers, "float64", ACTIVATIONS[:1], None)
    assert "population" not in facts and facts["sizes"] == [2, 4]
    assert version_of(facts, {}) == 1


def test_the_file_has_a_version_that_older_readers_refuse():
    facts, _ = describe_population(2)
    facts["activations"] = [{"name": "gelu"}] * 2
    assert version_of(facts, {}) == FORMAT_VERSION == 4


def test_a_large_population_has_a_small_header(tmp_path):
    path = tmp_path / "model.safetensors"
    read_again(path, *describe_population(50_000))
    assert int.from_bytes(path.read_bytes()[:8], "little") < 2000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts, arrays: facts.update(population=0), "its population is 0$"),
        (lambda facts, arrays: facts.update(population=-3), "its population is -3$"),
        (lambda facts, arrays: facts.update(population=True), "its population is True$"),
        (lambda facts, arrays: facts.update(population=3.0), "its population is 3.0$"),
        (lambda facts, arrays: facts.update(population=None), "its population is None$"),
        (lambda facts, arrays: facts.update(population=[3]), r"its population is \[3\]$"),
        (lambda facts, arrays: facts.update(population=4), r"it holds \(\(3, .*, and its header says \(\(4, "),
        (lambda facts, arrays: facts.update(population=10**400), "and its header says"),
        (lambda facts, arrays: facts.pop("population"), "and its header says"),
        (lambda facts, arrays: arrays.update({"0.bias": np.zeros(4, "float32")}), r"it holds \(\(4,\), 'float32'\) as 0.bias"),
        (lambda facts, arrays: arrays.pop("generators"), r"it holds nothing as generators, and .* \(\(3, 6\), 'uint64'\)"),
        (lambda facts, arrays: arrays.update(generators=np.zeros((2, 6), "uint64")), r"\(\(2, 6\), 'uint64'\) as generators"),
        (lambda facts, arrays: arrays.update(generators=np.zeros((3, 5), "uint64")), r"\(\(3, 5\), 'uint64'\) as generators"),
        (lambda facts, arrays: arrays.update(generators=np.zeros((3, 6), "int64")), r"\(\(3, 6\), 'int64'\) as generators"),
    ],
)
def test_other_descriptions_are_refused(change, message):
    facts, arrays = describe_population(3)
    change(facts, arrays)
    facts = json.loads(json.dumps(facts))
    with pytest.raises(ValueError, match=message):
        check_network(facts, {name: (array.shape, array.dtype.name) for name, array in arrays.items()})


def test_a_single_network_has_no_array_of_generators():
    layers = [bp.Layer(np.zeros((4, 2)), None)]
    state = np.random.default_rng().bit_generator.state
    facts = describe_network(layers, "float64", ACTIVATIONS[:1], None) | {"notes": {}, "generator": state}
    forms = {"0.weight": ((4, 2), "float64")}
    check_network(facts, forms)
    with pytest.raises(ValueError, match="as generators, and its header says nothing"):
        check_network(facts, forms | {"generators": ((1, 6), "uint64")})


def test_unpacked_generators_draw_the_same_numbers():
    generator = np.random.default_rng(3)
    generator.integers(2**32, dtype=np.uint32)
    (state,) = unpack_generators(pack_generators([generator.bit_generator.state]))
    assert state == generator.bit_generator.state and state["has_uint32"] == 1
    again = np.random.default_rng()
    again.bit_generator.state = state
    drawn = [(each.integers(2**32, dtype=np.uint32), *each.random(3)) for each in (again, generator)]
    assert drawn[0] == drawn[1]


def test_packed_generators_have_no_number_of_more_than_64_bits():
    most = {"state": {"state": 2**128 - 1, "inc": 2**128 - 1}, "has_uint32": 1, "uinteger": 2**32 - 1, "bit_generator": "PCG64"}
    packed = pack_generators([most, most])
    assert (packed.shape, packed.dtype) == ((2, 6), np.uint64)
    assert unpack_generators(packed) == [most, most]


@pytest.mark.parametrize(("column", "value"), [(3, 0), (4, 2), (5, 2**32), (5, 2**64 - 1)])
def test_numbers_that_are_no_state_are_refused(column, value):
    packed = pack_generators(draw_states(3))
    packed[1, column] = value
    with pytest.raises(ValueError, match="the state of random numbers of member 1 is not one of PCG64"):
        unpack_generators(packed)
