"""Every target is usable here: one test for each, so that a target that is not usable is shown as skipped."""

import pytest

from tests.support.targets import TARGETS, why_unusable


@pytest.mark.parametrize("name", TARGETS)
def test_the_tests_run_on(name):
    if reason := why_unusable(name):
        pytest.skip(reason)
