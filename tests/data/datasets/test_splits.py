"""Validation parts: the same for everyone, and no group on both sides."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deeppose_cli.data.datasets.splits import split_groups, split_rows


def test_the_validation_split_is_the_same_for_everyone() -> None:
    train, validation = split_rows(1000, 0.2)
    assert (len(train), len(validation)) == (800, 200)
    assert sorted([*train, *validation]) == list(range(1000))
    assert validation[:8].tolist() == [6, 8, 14, 21, 32, 33, 38, 39], "published scores hang on these rows"


@given(st.lists(st.integers(0, 30), max_size=200), st.floats(0, 1))
def test_a_group_is_never_on_both_sides(numbers: list[int], share: float) -> None:
    groups = np.array(numbers, dtype=int)
    train, validation = split_groups(groups, share)
    assert sorted([*train, *validation]) == list(range(len(groups)))
    assert not set(groups[train]) & set(groups[validation])
    assert len(validation) <= round(len(groups) * share)
    left_out = [np.sum(groups == group) for group in set(groups[train])]
    assert all(size > round(len(groups) * share) - len(validation) for size in left_out), "no group more would fit"


def test_groups_of_one_are_split_by_share_and_renumbering_changes_nothing() -> None:
    train, validation = split_groups(np.arange(50), 0.1)
    assert (len(train), len(validation)) == (45, 5)
    np.testing.assert_array_equal(validation, split_groups(np.arange(50) * 7 + 3, 0.1)[1])
