"""Which backends the tests run on: a test each, so that one that is not here is skipped where it can be seen."""

import pytest

from tests.conftest import WAYS, why_unusable


@pytest.mark.parametrize("name", WAYS)
def test_the_tests_run_on(name):
    if reason := why_unusable(name):
        pytest.skip(reason)
