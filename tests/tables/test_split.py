import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from portable_bp.tables.columns import Column
from portable_bp.tables.split import split_rows
from portable_bp.tables.task import choose_task


@hypothesis.given(
    strategies.lists(strategies.integers(1, 30), min_size=1, max_size=6),
    strategies.floats(0.05, 0.8),
    strategies.integers(0, 99),
)
def test_rows_are_shared_out_alike(counts, share, seed):
    groups = np.repeat(np.arange(len(counts)), counts)
    try:
        split = split_rows(groups, share, np.random.default_rng(seed))
    except ValueError as error:
        assert "cannot be shared out" in str(error)
        assert sum(counts) * (1 - share) < len(counts) + 1
        return
    assert sorted(np.concatenate(split)) == list(range(len(groups)))
    for group, count in enumerate(counts):
        training, validation, held_out = ((groups[rows] == group).sum() for rows in split)
        assert training >= 1
        if all(other * (1 - share) >= 1 for other in counts):
            assert abs(held_out - count * share) < 1
        assert validation <= (count - held_out) * 0.1 + 1
    if all(count * share <= count - 1 for count in counts):
        assert len(split.held_out) == max(1, round(sum(counts) * share))


def test_rows_are_drawn_by_the_seed():
    groups = np.zeros(100, dtype=int)
    first, again, other = (split_rows(groups, 0.2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert [len(rows) for rows in first] == [72, 8, 20]
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first.held_out, other.held_out)


def number(*values):
    return Column("number", np.array(values, dtype=float))


@pytest.mark.parametrize(
    ("target", "task", "reason"),
    [
        (Column("text", np.array(["a", "b"] * 10, dtype=object)), "classification", "since 'y' is text"),
        (Column("boolean", np.array([0.0, 1.0] * 10)), "classification", "since 'y' is boolean"),
        (
            number(*range(4), *range(4), *range(4), *range(4), *range(4)),
            "classification",
            "only 4 different whole numbers in 20",
        ),
        (number(*range(5), *range(5), *range(5), *range(5)), "regression", "5 different whole numbers in 20 rows"),
        (number(*range(21), *range(21), *range(21), *range(21), *range(21)), "regression", "21 different whole numbers"),
        (number(*[0.0, 1.0] * 5), "classification", "only 2 different"),
        (number(*[0.5, 1.0] * 50), "regression", "fractions"),
    ],
)
def test_the_task_is_inferred_with_a_reason(target, task, reason):
    chosen = choose_task("y", target, None)
    assert chosen.name == task and reason in chosen.reason


@pytest.mark.parametrize(
    ("target", "wanted", "said"),
    [
        (number(*[3.0] * 20), None, "the target 'y' has one value, 3.0, in every row"),
        (Column("text", np.array(list("ab" * 10), dtype=object)), "regression", "is text, and regression is of numbers"),
        (Column("text", np.array([str(k) for k in range(30)], dtype=object)), None, "30 different values in 30 rows"),
        (number(*np.arange(60) / 3.0), "classification", "or --task regression"),
        (number(*range(1001), *range(1001), *range(1001)), "classification", "1,001 different values"),
        (number(*[2.0**60, 2.0**61] * 20), "classification", "beyond 2**53"),
    ],
)
def test_what_cannot_be_the_target_is_refused(target, wanted, said):
    with pytest.raises(ValueError, match="^the target 'y' ") as caught:
        choose_task("y", target, wanted)
    assert said in str(caught.value)


def test_the_user_may_say_otherwise():
    assert choose_task("y", number(*[0.0, 1.0] * 20), "regression") == ("regression", "as you said")
    assert choose_task("y", number(*[0.5, 1.5] * 20), "classification") == ("classification", "as you said")
