import types

import numpy as np
import pytest

from portable_bp.backends.host import host_array

BAD = [
    ([[1.0, 2.0], [3.0]], ValueError, "rows differ in length"),
    (np.array([1 + 2j]), TypeError, "complex numbers, not real numbers"),
    (np.array([object()]), TypeError, r"Python objects \(object\), not real numbers"),
    (["one"], TypeError, "text, not real numbers"),
    (np.array(["2026-01-01"], dtype="datetime64[D]"), TypeError, "datetime64.*not real numbers"),
    ([2**70], TypeError, "integers of more than 64 bits"),
    ([1e300], ValueError, "float32 is exact no further than 3.4.*use dtype='float64'"),
    ([2**24 + 1], ValueError, "holds 16,777,217, and float32 is exact no further than 16,777,216"),
    (np.array([-(2**63)]), ValueError, "make it float yourself"),
]


@pytest.mark.parametrize(("data", "error", "said"), BAD)
def test_what_no_backend_takes(way, data, error, said):
    with pytest.raises(error, match=said):
        way.backend("float32").asarray(data)


def test_integers_that_are_objects_are_told_from_large_ones():
    with pytest.raises(TypeError, match="Python objects"):
        host_array(np.array([1, 2], dtype=object), "float32", "numpy")


def test_masked_data_are_refused(way):
    masked = np.ma.array([1.0, 999.0], mask=[False, True])
    with pytest.raises(TypeError, match="some of it is masked"):
        way.backend().asarray(masked)
    way.assert_close(way.backend().asarray(np.ma.array([1.0, 2.0])), [1.0, 2.0])


def test_own_arrays_of_floats_are_no_classes(way):
    with pytest.raises(TypeError, match="float64, not integers"):
        way.backend().asarray(way.backend().asarray([0.0, 1.0]), "int32")


@pytest.mark.parametrize(("data", "error"), [([2**31], ValueError), ([0.5], TypeError), ([1.0], TypeError)])
def test_what_is_no_class(way, data, error):
    with pytest.raises(error):
        way.backend().asarray(data, "int32")


def test_what_every_backend_takes(way):
    for data in ([1, 2.5], (1, 2.5), np.array([1, 2.5], dtype=np.float16), np.array([True, False]), 3, np.float64(3.5)):
        way.assert_close(way.backend("float32").asarray(data), np.asarray(data, dtype=np.float32), dtype="float32")
    read_only = np.arange(4.0)[::2]
    read_only.flags.writeable = False
    way.assert_close(way.backend().asarray(read_only), [0.0, 2.0])
    way.assert_close(way.backend("float32").asarray([2**24, -(2**24)]), [2**24, -(2**24)], dtype="float32")
    assert np.isnan(way.values(way.backend().asarray([np.nan]))).all()


def test_numpy_takes_its_own_array_as_it_is():
    array = np.arange(3.0)
    assert host_array(array, "float64", "numpy") is array


def test_an_array_of_another_library_is_refused(way):
    foreign = {"strict": "torch", "torch": "jax", "jax": "strict"}.get(way.backend().name, "strict")
    module = pytest.importorskip({"strict": "array_api_strict"}.get(foreign, foreign))
    array = (module.numpy if foreign == "jax" else module).asarray([1.0])
    with pytest.raises(TypeError, match=f"array on .*, and this is the {way.backend().name} backend.*convert it to NumPy"):
        way.backend().asarray(array)


def test_a_list_of_another_library_s_arrays_is_refused():
    import array_api_strict

    with pytest.raises(TypeError, match="an array_api_strict array|a array_api_strict array"):
        host_array([[array_api_strict.asarray(1.0)]], "float32", "numpy")


def test_an_array_that_only_speaks_dlpack_is_refused(way):
    stranger = types.SimpleNamespace(__dlpack__=lambda: None, device="gpu 7")
    with pytest.raises(TypeError, match="array on gpu 7"):
        way.backend().asarray(stranger)


def test_another_device_is_refused():
    import array_api_strict

    import portable_bp as bp

    array = array_api_strict.asarray([1.0], device=array_api_strict.Device("device2"))
    with pytest.raises(TypeError, match="it is on .*device2.*, and the backend is on .*device1"):
        bp.select_backend("strict:device1").asarray(array)


def test_complex_arrays_of_the_own_library_are_refused(way):
    backend = way.backend()
    array = backend.xp.asarray([1.0 + 2.0j], dtype=backend.xp.complex128, device=backend.device)
    with pytest.raises(TypeError, match="complex.*, not real numbers"):
        backend.asarray(array)
