"""The elementary functions of compiled steps, compared with mpmath: at most two units in the last place away."""

import numpy as np
import pytest

from portable_bp.backends.graph.printers.population import PopulationLibrary, block_of_members
from portable_bp.backends.graph.printers.vector_math import source
from portable_bp.backends.graph.schedule import Schedule
from portable_bp.backends.graph.trace import record

mpmath = pytest.importorskip("mpmath", reason="mpmath, which knows many digits, is not installed")

FUNCTIONS = {"exp": mpmath.exp, "expm1": mpmath.expm1, "log": mpmath.log, "log1p": mpmath.log1p, "tanh": mpmath.tanh}


@pytest.fixture(params=["Python", "Numba", "lanes"], scope="module")
def functions(request):
    """Return a function that evaluates one of the functions for an array."""
    if request.param == "Python":
        return in_python
    numba = pytest.importorskip("numba", reason="Numba, which compiles the functions, is not installed")
    return in_lanes if request.param == "lanes" else lambda name, array: compiled(numba, name, array)


def in_python(name, array):
    names = {"np": np, "inlined": lambda function: function}
    exec(source(array.dtype.name), names)
    with np.errstate(all="ignore"):
        return np.array([names[name](number) for number in array], array.dtype)


def compiled(numba, name, array):
    names = {"np": np, "inlined": numba.njit(fastmath={"contract"}, error_model="numpy")}
    exec(source(array.dtype.name), names)
    function = names[name]

    @numba.njit(error_model="numpy")
    def evaluate(array):
        out = np.empty_like(array)
        for number in range(array.size):
            out[number] = function(array[number])
        return out

    return evaluate(array)


def in_lanes(name, array):
    """Evaluate a function as a step of a population, in which each member has one number."""
    library, carry = PopulationLibrary(), (array[:, None, None],)
    graph = record(library, lambda carry, data, item: (getattr(library.xp, name)(carry[0]),), carry, (), ())
    executable = library.executable(Schedule(block_of_members(graph), library.max_fused), ())
    return executable.run(carry, (), range(1))[0].reshape(-1)


def drawn(dtype, name, count):
    """Draw numbers of all magnitudes, and of those where the function is neither constant nor linear."""
    generator = np.random.default_rng(list(f"{name} {dtype}".encode()))
    unsigned = {"float32": "uint32", "float64": "uint64"}[dtype]
    any_bits = generator.integers(0, np.iinfo(unsigned).max, count, unsigned, endpoint=True).view(dtype)
    scale = {"log": 4.0, "log1p": 4.0}.get(name, 60.0)
    tiny = np.finfo(dtype).smallest_subnormal * generator.integers(-50, 50, 20)
    near = generator.normal(size=count) * generator.choice([1e-3, 0.1, 1.0, scale], count)
    return np.concatenate([any_bits, near.astype(dtype), tiny.astype(dtype), np.nextafter(near, 1.0).astype(dtype)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_within_two_units_in_the_last_place(functions, name, dtype):
    numbers = drawn(dtype, name, 1000)
    mine = functions(name, numbers)
    assert mine.dtype == dtype
    with mpmath.workdps(60), np.errstate(all="ignore"):
        for number, result in zip(numbers, mine, strict=True):
            exact = expected(name, number)
            rounded, largest = np.dtype(dtype).type(float(exact)), np.finfo(dtype).max
            if np.isnan(rounded) or not np.isfinite(number) or abs(exact) > 2 * mpmath.mpf(float(largest)):
                np.testing.assert_equal(result, rounded, err_msg=f"{name}({number!r})")
                continue
            unit = mpmath.mpf(float(np.spacing(min(np.abs(rounded), largest))))
            # Infinity stands for the number after the largest one.
            found = mpmath.mpf(float(result)) if np.isfinite(result) else mpmath.mpf(float(largest)) + unit
            assert abs(found - exact) <= 2 * unit, f"{name}({number!r}) is {result!r}"


def expected(name, number):
    """Return the exact value, as a number of mpmath."""
    if np.isnan(number) or (name in ("log", "log1p") and number < (0 if name == "log" else -1)):
        return mpmath.nan
    if name == "exp" and number < -1e4:
        return mpmath.mpf(0)
    if name in ("exp", "expm1") and number > 1e4:
        return mpmath.inf
    if (name == "log" and number == 0) or (name == "log1p" and number == -1):
        return -mpmath.inf
    return FUNCTIONS[name](mpmath.mpf(float(number)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_zero_keeps_its_sign(functions, dtype):
    zeros = np.array([0.0, -0.0], dtype)
    for name in ("expm1", "log1p", "tanh"):
        np.testing.assert_array_equal(np.signbit(functions(name, zeros)), [False, True])
