"""The order of training images."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset

from deeppose_cli.data.loading.samplers import DataPosition, EpochSampler, EvaluationSampler, ResumableLoader, SampleKey

SIZES = {
    "rows": st.integers(1, 60),
    "batch": st.integers(1, 40),
    "repeats": st.integers(1, 4),
    "epoch": st.integers(0, 5),
}


def epoch_of(sampler: EpochSampler, epoch: int, start: int = 0) -> list[list[SampleKey]]:
    sampler.epoch, sampler.start = epoch, start
    return list(sampler)


@given(seed=st.integers(0, 2**31), **SIZES)
def test_an_epoch_has_each_row_as_often_as_given_up_to_the_dropped_rest(
    rows: int, batch: int, repeats: int, epoch: int, seed: int
) -> None:
    sampler = EpochSampler(rows, batch, seed, repeats)
    batches = epoch_of(sampler, epoch)
    collected = [draw for chosen in batches for draw in chosen]
    assert len(batches) == len(sampler) >= 1
    assert {len(chosen) for chosen in batches} == {min(batch, rows * repeats)}
    assert 0 <= rows * repeats - len(collected) < min(batch, rows * repeats)
    assert len(set(collected)) == len(collected)
    assert set(collected) <= {SampleKey(epoch, row, repeat) for row in range(rows) for repeat in range(repeats)}
    if not rows * repeats % batch:
        assert Counter(draw.row for draw in collected) == dict.fromkeys(range(rows), repeats)


def test_another_epoch_or_seed_has_another_order_and_the_same_one_the_same() -> None:
    orders = {
        (seed, epoch): [draw[1:] for chosen in epoch_of(EpochSampler(40, 8, seed), epoch) for draw in chosen]
        for seed in (0, 1)
        for epoch in (0, 1, 2)
    }
    assert len({tuple(order) for order in orders.values()}) == 6
    for (seed, epoch), order in orders.items():
        again = epoch_of(EpochSampler(40, 8, seed), epoch)
        assert [draw[1:] for chosen in again for draw in chosen] == order


@given(world=st.integers(1, 4), seed=st.integers(0, 2**31), **SIZES)
def test_processes_have_together_what_one_process_has(
    rows: int, batch: int, repeats: int, epoch: int, world: int, seed: int
) -> None:
    if rows * repeats < world:
        return  # fewer examples than processes: nothing to share
    ranks = [EpochSampler(rows, batch, seed, repeats, rank, world) for rank in range(world)]
    # All processes take equal parts of a batch, which is rounded down for it.
    whole = max(world, min(batch, rows * repeats) // world * world)
    alone = epoch_of(EpochSampler(rows, whole, seed, repeats), epoch)
    shares = [epoch_of(sampler, epoch) for sampler in ranks]
    assert {len(share) for share in shares} == {len(alone)} == {len(sampler) for sampler in ranks}
    for number, expected in enumerate(alone):
        parts = [share[number] for share in shares]
        assert {len(part) for part in parts} == {len(expected) // world}
        assert sorted(draw for part in parts for draw in part) == sorted(expected)


@given(data=st.data(), seed=st.integers(0, 2**31), **SIZES)
def test_going_on_at_a_position_gives_the_rest(
    data: st.DataObject, rows: int, batch: int, repeats: int, epoch: int, seed: int
) -> None:
    whole = epoch_of(EpochSampler(rows, batch, seed, repeats), epoch)
    start = data.draw(st.integers(0, len(whole)))
    assert epoch_of(EpochSampler(rows, batch, seed, repeats), epoch, start) == whole[start:]


@given(rows=st.integers(0, 60), batch=st.integers(1, 20), world=st.integers(1, 5))
def test_evaluation_counts_every_row_once_over_all_processes(rows: int, batch: int, world: int) -> None:
    shares = [list(EvaluationSampler(rows, batch, rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(EvaluationSampler(rows, batch, 0, world))}
    assert len({len(chosen) for share in shares for chosen in share}) <= 1
    every = [row for share in shares for chosen in share for row in chosen]
    assert sorted(row for row in every if row != -1) == list(range(rows))
    assert len(every) - rows < max(1, batch // world) * world  # no batch of fillers only, over all processes


class Echo(Dataset[SampleKey]):
    """Gives back the key."""

    def __getitem__(self, draw: SampleKey) -> SampleKey:
        return draw


def loader(position: DataPosition, workers: int = 0) -> ResumableLoader:
    return ResumableLoader(Echo(), EpochSampler(10, 3, 7), position, num_workers=workers, collate_fn=list)


def test_the_position_follows_and_epochs_follow_one_another() -> None:
    position = DataPosition()
    stream = loader(position)
    assert len(stream) == 3
    collected = []
    for epoch in range(3):
        for number, batch in enumerate(stream):
            assert position == DataPosition(epoch, number + 1)
            collected.append(batch)
    expected = [batch for epoch in range(3) for batch in epoch_of(EpochSampler(10, 3, 7), epoch)]
    assert collected == expected


@pytest.mark.parametrize("stop", range(7))
def test_a_loader_that_starts_from_a_position_goes_on_there(stop: int) -> None:
    expected = [batch for epoch in range(3) for batch in epoch_of(EpochSampler(10, 3, 7), epoch)]
    position = DataPosition()
    first = loader(position)
    for _ in range(stop):
        if position.position in (0, 3):
            running = iter(first)
        next(running)
    kept = DataPosition(position.epoch, position.position)
    going_on, collected = loader(kept), []
    while len(collected) < 9 - stop:
        collected += going_on
    assert collected == expected[stop:]


def test_an_iterator_that_nobody_uses_moves_nothing() -> None:
    position = DataPosition(1, 2)
    iter(loader(position))
    assert position == DataPosition(1, 2)


@pytest.mark.slow
def test_batches_made_ahead_by_workers_do_not_count() -> None:
    position = DataPosition()
    running = iter(loader(position, workers=1))
    next(running)
    assert position == DataPosition(0, 1)
    running.close()
