"""Every target is usable here: one test for each, so that one that is not usable is skipped where it can be seen."""

import pytest

from tests.support.targets import TARGETS, why_unusable


@pytest.mark.parametrize("name", TARGETS)
def test_the_tests_run_on(name):
    if reason := why_unusable(name):
        pytest.skip(reason)
