"""An unknown name or a missing library raises an error that says in one sentence what to do."""

import pytest

from portable_bp.common.lookup import find, require


def test_find():
    assert find("fruit", "apple", {"apple": 1}) == 1
    with pytest.raises(ValueError, match="unknown fruit 'appel': the known ones are apple, pear; did you mean 'apple'"):
        find("fruit", "appel", {"apple": 1, "pear": 2})


def test_a_missing_extra_is_one_sentence():
    with pytest.raises(ImportError) as caught:
        require("not_installed_anywhere.part", "cuda13", "cuda12")
    assert str(caught.value) == (
        "not_installed_anywhere is needed here and is not installed: "
        "pip install 'portable-bp[cuda13]' or pip install 'portable-bp[cuda12]'"
    )
