"""The order in which images are seen."""

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
    "visits": st.integers(1, 4),
    "epoch": st.integers(0, 5),
}


def epoch_of(sampler: EpochSampler, epoch: int, start: int = 0) -> list[list[SampleKey]]:
    sampler.epoch, sampler.start = epoch, start
    return list(sampler)


@given(seed=st.integers(0, 2**31), **SIZES)
def test_an_epoch_visits_each_row_as_often_as_told_up_to_the_dropped_rest(
    rows: int, batch: int, visits: int, epoch: int, seed: int
) -> None:
    sampler = EpochSampler(rows, batch, seed, visits)
    batches = epoch_of(sampler, epoch)
    seen = [draw for chosen in batches for draw in chosen]
    assert len(batches) == len(sampler) >= 1
    assert {len(chosen) for chosen in batches} == {min(batch, rows * visits)}
    assert 0 <= rows * visits - len(seen) < min(batch, rows * visits)
    assert len(set(seen)) == len(seen)
    assert set(seen) <= {SampleKey(epoch, row, visit) for row in range(rows) for visit in range(visits)}
    if not rows * visits % batch:
        assert Counter(draw.row for draw in seen) == dict.fromkeys(range(rows), visits)


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
def test_processes_see_together_what_one_process_sees(
    rows: int, batch: int, visits: int, epoch: int, world: int, seed: int
) -> None:
    if rows * visits < world:
        return  # fewer examples than processes: nothing to share
    ranks = [EpochSampler(rows, batch, seed, visits, rank, world) for rank in range(world)]
    # All processes take equal parts of a batch, which is rounded down for it.
    whole = max(world, min(batch, rows * visits) // world * world)
    alone = epoch_of(EpochSampler(rows, whole, seed, visits), epoch)
    shares = [epoch_of(sampler, epoch) for sampler in ranks]
    assert {len(share) for share in shares} == {len(alone)} == {len(sampler) for sampler in ranks}
    for number, expected in enumerate(alone):
        parts = [share[number] for share in shares]
        assert {len(part) for part in parts} == {len(expected) // world}
        assert sorted(draw for part in parts for draw in part) == sorted(expected)


@given(data=st.data(), seed=st.integers(0, 2**31), **SIZES)
def test_going_on_at_a_place_gives_the_rest(
    data: st.DataObject, rows: int, batch: int, visits: int, epoch: int, seed: int
) -> None:
    whole = epoch_of(EpochSampler(rows, batch, seed, visits), epoch)
    start = data.draw(st.integers(0, len(whole)))
    assert epoch_of(EpochSampler(rows, batch, seed, visits), epoch, start) == whole[start:]


@given(rows=st.integers(0, 60), batch=st.integers(1, 20), world=st.integers(1, 5))
def test_evaluation_counts_every_row_once_over_all_processes(rows: int, batch: int, world: int) -> None:
    shares = [list(EvaluationSampler(rows, batch, rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(EvaluationSampler(rows, batch, 0, world))}
    assert len({len(chosen) for share in shares for chosen in share}) <= 1
    every = [row for share in shares for chosen in share for row in chosen]
    assert sorted(row for row in every if row != -1) == list(range(rows))
    assert len(every) - rows < max(1, batch // world) * world  # no batch of fillers only, over all processes


class Echo(Dataset[SampleKey]):
    """Hands back what it was asked for."""

    def __getitem__(self, draw: SampleKey) -> SampleKey:
        return draw


def loader(place: DataPosition, workers: int = 0) -> ResumableLoader:
    return ResumableLoader(Echo(), EpochSampler(10, 3, 7), place, num_workers=workers, collate_fn=list)


def test_the_place_follows_and_epochs_follow_one_another() -> None:
    place = DataPosition()
    stream = loader(place)
    assert len(stream) == 3
    seen = []
    for epoch in range(3):
        for position, batch in enumerate(stream):
            assert place == DataPosition(epoch, position + 1)
            seen.append(batch)
    expected = [batch for epoch in range(3) for batch in epoch_of(EpochSampler(10, 3, 7), epoch)]
    assert seen == expected


@pytest.mark.parametrize("stop", range(7))
def test_a_loader_that_starts_from_a_place_goes_on_there(stop: int) -> None:
    expected = [batch for epoch in range(3) for batch in epoch_of(EpochSampler(10, 3, 7), epoch)]
    place = DataPosition()
    first = loader(place)
    for _ in range(stop):
        if place.position in (0, 3):
            running = iter(first)
        next(running)
    kept = DataPosition(place.epoch, place.position)
    going_on, seen = loader(kept), []
    while len(seen) < 9 - stop:
        seen += going_on
    assert seen == expected[stop:]


def test_an_iterator_that_nobody_uses_moves_nothing() -> None:
    place = DataPosition(1, 2)
    iter(loader(place))
    assert place == DataPosition(1, 2)


@pytest.mark.slow
def test_batches_made_ahead_by_workers_do_not_count_as_seen() -> None:
    place = DataPosition()
    running = iter(loader(place, workers=1))
    next(running)
    assert place == DataPosition(0, 1)
    running.close()
