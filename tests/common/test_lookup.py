"""An unknown name or a missing library raises an error that says in one sentence what to do."""

import re

import pytest

from portable_bp.algorithm.activations import ACTIVATIONS
from portable_bp.algorithm.initializers import INITIALIZERS
from portable_bp.algorithm.losses import LOSSES
from portable_bp.algorithm.optimizers import OPTIMIZERS
from portable_bp.backends.selector import BACKENDS
from portable_bp.common.lookup import ELSEWHERE, find, require


def test_find():
    assert find("fruit", "apple", {"apple": 1}) == 1
    with pytest.raises(ValueError, match="unknown fruit 'appel': the known ones are apple, pear; did you mean 'apple'"):
        find("fruit", "appel", {"apple": 1, "pear": 2})


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("cuda", BACKENDS, "did you mean 'cupy' or 'torch:cuda' or 'jax:gpu'?"),
        ("GPU", BACKENDS, "did you mean 'cupy' or 'torch:cuda' or 'jax:gpu'?"),
        ("cpu", BACKENDS, "did you mean 'numpy'?"),
        ("MSE", LOSSES, "did you mean 'squared_error'?"),
        ("bce", LOSSES, "did you mean 'binary_cross_entropy' or 'cross_entropy'?"),
        ("kaiming", INITIALIZERS, "did you mean 'he_normal' or 'he_uniform'?"),
        ("swish", LOSSES, "use one of the known names."),
    ],
)
def test_the_names_of_other_libraries_are_understood(name, known, hint):
    with pytest.raises(ValueError, match=re.escape(hint)):
        find("piece", name, known)


def test_a_name_of_another_library_stands_for_one_of_ours():
    ours = {*BACKENDS, *LOSSES, *INITIALIZERS, *ACTIVATIONS, *OPTIMIZERS}
    assert {name.partition(":")[0] for names in ELSEWHERE.values() for name in names} <= ours


def test_a_missing_extra_is_one_sentence():
    with pytest.raises(ImportError) as caught:
        require("not_installed_anywhere.part", "cuda13", "cuda12")
    assert str(caught.value) == (
        "not_installed_anywhere is needed here and is not installed: "
        "pip install 'portable-bp[cuda13]' or pip install 'portable-bp[cuda12]'"
    )
