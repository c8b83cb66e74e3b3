"""Splitting rows, and choosing the task of a target."""

import hypothesis
import numpy as np
import polars
import pytest
from hypothesis import strategies

from portable_bp.tables.prepare import split_rows
from portable_bp.tables.targets import choose_task


@hypothesis.given(
    strategies.lists(strategies.integers(1, 30), min_size=1, max_size=6),
    strategies.floats(0.05, 0.8),
    strategies.integers(0, 99),
)
def test_split_is_stratified_by_label(counts, share, seed):
    labels = np.repeat([f"label {k}" for k in range(len(counts))], counts)
    try:
        training, validation, held_out = split_rows(labels, share, np.random.default_rng(seed))
    except ValueError as error:
        assert "cannot be split" in str(error)
        assert sum(counts) * (1 - share) * 0.9 < len(counts) + 2
        return
    assert sorted(np.concatenate([training, validation, held_out])) == list(range(len(labels)))
    assert len(held_out) == max(1, round(sum(counts) * share))
    assert len(validation) == max(1, round((sum(counts) - len(held_out)) * 0.1))
    assert set(labels[training]) == set(labels)
    for label, count in zip(dict.fromkeys(labels), counts, strict=True):
        if min(counts) * (1 - share) >= 2:
            assert abs((labels[held_out] == label).sum() - count * share) <= len(counts)


@pytest.mark.parametrize("count", [2, 50])
def test_every_row_is_held_out_equally_often(count):
    """Neither the label nor the position in the file matters."""
    labels = np.repeat([0, 1], [count, 100 - count])
    often = np.zeros(100)
    for seed in range(2000):
        often[split_rows(labels, 0.2, np.random.default_rng(seed))[2]] += 1
    assert abs(often[:count].mean() - 400) < 40 and abs(often[count:].mean() - 400) < 40
    assert often.min() > 300 and often.max() < 500


def test_split_depends_only_on_the_seed():
    first, again, other = (split_rows(np.zeros(100), 0.2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert [len(rows) for rows in first] == [72, 8, 20]
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[2], other[2])


def target(*values):
    return polars.Series("y", values)


@pytest.mark.parametrize(
    ("series", "task", "reason"),
    [
        (target(*["a", "b"] * 10), "classification", "since 'y' is text"),
        (target(*[False, True] * 10), "classification", "since 'y' is boolean"),
        (target(*[*range(4)] * 5), "classification", "holds 4 different whole numbers in 20"),
        (target(*[0.0, 1.0, 2.0, 3.0] * 5), "classification", "holds 4 different whole numbers in 20"),
        (target(*[*range(5)] * 4), "regression", "5 different whole numbers in 20 rows"),
        (target(*[*range(20)] * 6), "classification", "20 different whole numbers"),
        (target(*[*range(21)] * 6), "regression", "21 different whole numbers"),
        (target(*[0, 1] * 4), "classification", "2 different"),
        (target(*[0.5, 1.0] * 50), "regression", "fractions"),
    ],
)
def test_task_is_inferred_with_a_reason(series, task, reason):
    chosen = choose_task(series, None)
    assert chosen[0] == task and reason in chosen[1]


@pytest.mark.parametrize(
    ("series", "wanted", "message"),
    [
        (target(*[3.0] * 20), None, "the target 'y' has one value, 3.0, in all rows"),
        (target(*["a", "b"] * 10), "regression", "is text, but regression needs numbers"),
        (target(*map(str, range(30))), None, "30 different values in 30 rows"),
        (target(*[k / 3.0 for k in range(60)]), "classification", "or --task regression"),
        (target(*[*range(1001)] * 3), "classification", "1,001 different values"),
    ],
)
def test_unsuitable_target_is_refused(series, wanted, message):
    with pytest.raises(ValueError, match="^the target 'y' ") as caught:
        choose_task(series, wanted)
    assert message in str(caught.value)


def test_requested_task_overrides_the_inferred_one():
    assert choose_task(target(*[0, 1] * 20), "regression") == ("regression", "as requested")
    assert choose_task(target(*[0.5, 1.5] * 20), "classification") == ("classification", "as requested")
