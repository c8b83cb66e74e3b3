"""Every backend accepts the same data in main memory, and refuses the same with a reason."""

import types
from decimal import Decimal

import hypothesis
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import scipy.sparse

import portable_bp as bp
from portable_bp.backends.host import host_array

BAD = [
    ([[1.0, 2.0], [3.0]], ValueError, "rows differ in length"),
    (np.array([1 + 2j]), TypeError, "complex numbers, not real numbers"),
    (np.array([Decimal("0.5")]), TypeError, r"Python objects \(Decimal\), not real numbers"),
    (np.array([object()]), TypeError, r"Python objects \(object\), not real numbers"),
    (["one"], TypeError, "text, not real numbers"),
    (np.array(["2026-01-01"], dtype="datetime64[D]"), TypeError, "datetime64.*not real numbers"),
    (np.zeros(2, [("a", "f8"), ("b", "f8")]), TypeError, "'a'.*not real numbers"),
    (scipy.sparse.eye_array(2), TypeError, r"sparse matrix: convert it with its toarray\(\)"),
    ([2**70], TypeError, "integers of more than 64 bits"),
    ([1e300], ValueError, "float32 represents numbers only up to 3.4.*use dtype='float64'"),
    ([2**24 + 1], ValueError, "holds 16,777,217, and float32 represents integers exactly only up to 16,777,216"),
    (np.array([-(2**63)]), ValueError, "convert it to float first"),
]


@pytest.mark.parametrize(("data", "error", "message"), BAD)
def test_data_that_every_backend_refuses(on_target, data, error, message):
    with pytest.raises(error, match=message):
        on_target.backend("float32").asarray(data)


def test_integer_objects_and_large_integers_have_different_errors():
    with pytest.raises(TypeError, match="Python objects"):
        host_array(np.array([1, 2], dtype=object), "float32", "numpy")


MASKED = np.ma.array([1.0, 999.0], mask=[False, True])


@pytest.mark.parametrize("masked", [MASKED, [MASKED, MASKED], ([1.0, 2.0], MASKED), [[1.0, np.ma.masked]], [1, np.ma.masked]])
def test_masked_data_are_refused(on_target, masked):
    for dtype in (None, "int32"):
        with pytest.raises(TypeError, match="some of it is masked"):
            on_target.backend().asarray(masked, dtype)


def test_masks_that_mask_nothing_are_accepted(on_target):
    for data in (np.ma.array([1.0, 2.0]), np.ma.array([1.0, 2.0], mask=[False, False])):
        on_target.assert_close(on_target.backend().asarray(data), [1.0, 2.0])


class OwnArray(np.ndarray):
    """A subclass of NumPy's array, as libraries of units and of images have."""


def laid_out(draw, array):
    """Return an array of the same numbers with another memory layout, or of another kind."""
    for _ in range(draw(hypothesis.strategies.integers(0, 3))):
        axis = draw(hypothesis.strategies.integers(0, array.ndim - 1))
        how = draw(
            hypothesis.strategies.sampled_from(["flip", "step", "transpose", "cut", "repeat", "swap bytes", "freeze", "kind"])
        )
        if how == "flip":
            array = np.flip(array, axis)
        elif how == "step":
            array = np.moveaxis(np.moveaxis(np.repeat(array, 2, axis), axis, 0)[::2], 0, axis)
        elif how == "transpose":
            array = np.asfortranarray(array)
        elif how == "cut":
            array = np.moveaxis(np.moveaxis(array, axis, 0)[:1], 0, axis)
        elif how == "repeat" and array.shape[axis] == 1:
            array = np.broadcast_to(array, [3 if number == axis else size for number, size in enumerate(array.shape)])
        elif how == "swap bytes":
            array = array.astype(array.dtype.newbyteorder())
        elif how == "freeze":
            array = array.copy()[...]
            array.flags.writeable = False
        else:
            array = array.view(draw(hypothesis.strategies.sampled_from([OwnArray, np.ndarray])))
    return array


@pytest.mark.parametrize("flag", ["numpy", "strict", "torch", "jax"])
@hypothesis.given(data=hypothesis.strategies.data())
@hypothesis.settings(max_examples=60)
def test_any_memory_layout_is_accepted(flag, data):
    pytest.importorskip({"strict": "array_api_strict"}.get(flag, flag))
    dtypes = ["f2", "f4", "f8", "g", "i1", "i2", "u1", "u2", "?"]
    shape = arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4)
    array = data.draw(arrays.arrays(data.draw(hypothesis.strategies.sampled_from(dtypes)), shape))
    hypothesis.assume(array.dtype.kind != "f" or np.all(np.abs(array.astype("g")) < 1e30))
    given = laid_out(data.draw, array)
    for dtype in ("float32", "float64"):
        backend = bp.select_backend(flag, dtype)
        before = given.copy()
        mine = backend.to_numpy(backend.asarray(given))
        assert mine.dtype == dtype
        np.testing.assert_array_equal(mine, np.array(before, dtype=dtype))


def test_reversed_rows_are_predicted_for_and_learned_from(on_target):
    """NumPy ignores the stride of an axis with one item, which may then be negative."""
    network, rows = on_target.network([2, 1], seed=0), np.arange(8.0).reshape(4, 2)
    for reversed_rows in (rows[::-1], rows[::-1][:1], rows[::-1, ::-1][:1, :], rows[::-1][-1:]):
        on_target.assert_close(network.predict(reversed_rows), on_target.values(network.predict(reversed_rows.tolist())))
        on_target.assert_close(network.predict(reversed_rows[0]), on_target.values(network.predict(reversed_rows[0].tolist())))
        target, weight = reversed_rows[:, :1][::-1], np.ones(len(reversed_rows))[::-1]
        for loss in (network.loss, lambda *given: network.fit(*given[:3], sample_weight=given[3]).loss[-1]):
            assert np.isfinite(float(loss(reversed_rows, target, "squared_error", weight)))
    moved = bp.Network.from_weights([rows[::-1][:1]], backend=on_target.flag, dtype="float64")
    on_target.assert_close(moved.layers[0].weight, rows[-1:])


def test_rows_of_a_file(on_target, tmp_path):
    mapped = np.memmap(tmp_path / "rows", dtype=">f4", mode="w+", shape=(4, 2))
    mapped[:] = np.arange(8.0).reshape(4, 2)
    for rows in (mapped, mapped[::-1][:1], np.memmap(tmp_path / "rows", dtype=">f4", mode="r", shape=(4, 2))):
        on_target.assert_close(on_target.backend().asarray(rows), np.array(rows, dtype="float64"))


def test_float_arrays_of_the_backend_are_not_classes(on_target):
    with pytest.raises(TypeError, match="float64, not integers"):
        on_target.backend().asarray(on_target.backend().asarray([0.0, 1.0]), "int32")


@pytest.mark.parametrize(("data", "error"), [([2**31], ValueError), ([0.5], TypeError), ([1.0], TypeError)])
def test_targets_that_are_not_classes(on_target, data, error):
    with pytest.raises(error):
        on_target.backend().asarray(data, "int32")


def test_data_that_every_backend_accepts(on_target):
    for data in ([1, 2.5], (1, 2.5), np.array([1, 2.5], dtype=np.float16), np.array([True, False]), 3, np.float64(3.5)):
        on_target.assert_close(on_target.backend("float32").asarray(data), np.asarray(data, dtype=np.float32), dtype="float32")
    read_only = np.arange(4.0)[::2]
    read_only.flags.writeable = False
    on_target.assert_close(on_target.backend().asarray(read_only), [0.0, 2.0])
    on_target.assert_close(on_target.backend("float32").asarray([2**24, -(2**24)]), [2**24, -(2**24)], dtype="float32")
    assert np.isnan(on_target.values(on_target.backend().asarray([np.nan]))).all()


def test_numpy_does_not_copy_its_own_array():
    array = np.arange(3.0)
    assert host_array(array, "float64", "numpy") is array


def test_an_array_of_another_library_is_refused(on_target):
    foreign = {"strict": "torch", "torch": "jax", "jax": "strict"}.get(on_target.backend().name, "strict")
    module = pytest.importorskip({"strict": "array_api_strict"}.get(foreign, foreign))
    array = (module.numpy if foreign == "jax" else module).asarray([1.0])
    with pytest.raises(TypeError, match=f"array on .*, and the {on_target.backend().name} backend does not move"):
        on_target.backend().asarray(array)


def test_a_list_of_another_library_s_arrays_is_refused():
    import array_api_strict

    with pytest.raises(TypeError, match="an array_api_strict array|a array_api_strict array"):
        host_array([[array_api_strict.asarray(1.0)]], "float32", "numpy")


def test_an_array_with_only_dlpack_is_refused(on_target):
    stranger = types.SimpleNamespace(__dlpack__=lambda: None, device="gpu 7")
    with pytest.raises(TypeError, match="array on gpu 7"):
        on_target.backend().asarray(stranger)


def test_another_device_is_refused():
    import array_api_strict

    array = array_api_strict.asarray([1.0], device=array_api_strict.Device("device2"))
    with pytest.raises(TypeError, match="it is on .*device2.*, and the backend is on .*device1"):
        bp.select_backend("strict:device1").asarray(array)


def test_complex_arrays_of_the_own_library_are_refused(on_target):
    backend = on_target.backend()
    array = backend.xp.asarray([1.0 + 2.0j], dtype=backend.xp.complex128, device=backend.device)
    with pytest.raises(TypeError, match="complex.*, not real numbers"):
        backend.asarray(array)
