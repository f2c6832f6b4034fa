from collections import Counter
from itertools import chain
from unittest.mock import patch

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler, TensorDataset

from cxrscreen.train import shares, together
from cxrscreen.train.batches import EvenBatches
from cxrscreen.train.shares import (
    OneResult,
    ShareOfBatches,
    TurnsOfBatches,
    average_buffers,
    training_share,
    validation_share,
)

CASES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("st"), st.integers(0, 6)), min_size=1, max_size=30)


def sampler(cases, batch, seed, epoch, patients):
    groups, sources, people = zip(*cases, strict=True)
    made = EvenBatches(
        groups,
        sources,
        weights={"s": 2.0},
        batch=batch,
        batches=4,
        seed=seed,
        patients=[f"{source}{person}" for source, person in zip(sources, people, strict=True)] if patients else None,
    )
    made.set_epoch(epoch)
    return made


@given(CASES, st.integers(1, 6), st.integers(1, 4), st.integers(0, 99), st.integers(0, 5), st.booleans())
@settings(max_examples=40)
def test_the_union_of_all_shares_is_the_batch_of_a_single_process(cases, each, size, seed, epoch, patients):
    whole = list(sampler(cases, each * size, seed, epoch, patients))
    parts = []
    for rank in range(size):
        share = ShareOfBatches(sampler(cases, each * size, seed, 0, patients), rank, size)
        share.sampler.set_epoch(epoch)
        assert len(share) == 4
        parts.append(list(share))
        assert list(share) == parts[-1]
    assert [list(chain.from_iterable(step)) for step in zip(*parts, strict=True)] == whole
    groups = sorted({group for group, _, _ in cases})
    for step in zip(*parts, strict=True):
        for part in step:
            held = Counter(cases[index][0] for index, _ in part)
            # Each share holds the groups evenly by itself: neighbours go round them.
            assert max(held[name] for name in groups) - min(held[name] for name in groups) <= 1


@given(st.integers(0, 40), st.integers(1, 7), st.integers(1, 5))
def test_every_validation_image_is_judged_exactly_once_and_in_order(images, batch, size):
    batches = BatchSampler(SequentialSampler(range(images)), batch, drop_last=False)
    turns = [list(TurnsOfBatches(batches, rank, size)) for rank in range(size)]
    assert [len(TurnsOfBatches(batches, rank, size)) for rank in range(size)] == list(map(len, turns))
    with patch.object(together, "distributed") as fake:
        fake.get_world_size.return_value = size
        fake.all_gather_object.side_effect = lambda lists, _: lists.__setitem__(slice(None), turns)
        assert together.gathered(turns[0]) == list(batches)


def test_loaders_are_shared_out():
    loader = DataLoader(TensorDataset(torch.arange(10)), batch_size=4)
    seen = [[batch[0].tolist() for batch in validation_share(loader, rank, 2)] for rank in (0, 1)]
    assert seen == [[[0, 1, 2, 3], [8, 9]], [[4, 5, 6, 7]]]
    learned = DataLoader(TensorDataset(torch.arange(8)), batch_size=4)
    assert [batch[0].tolist() for batch in training_share(learned, 1, 2)] == [[2, 3], [6, 7]]


def test_running_statistics_become_their_mean():
    module = nn.BatchNorm1d(2)
    module.running_mean.copy_(torch.tensor([1.0, 3.0]))
    module.num_batches_tracked.fill_(5)

    def with_another_process(joined):
        joined += torch.tensor([3.0, 5.0, 0.5, 0.5])

    with patch.object(shares, "distributed") as fake:
        fake.get_world_size.return_value = 2
        fake.all_reduce.side_effect = with_another_process
        average_buffers(module)
    assert module.running_mean.tolist() == [2.0, 4.0]
    assert module.running_var.tolist() == [0.75, 0.75]
    assert module.num_batches_tracked == 5


def test_what_was_collected_is_joined_in_the_tasks_own_list():
    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self._seen, self._learned = [torch.tensor([1.0])], [torch.tensor([7.0])]

    judge = Judge()
    seen = judge._seen
    with patch.object(shares, "gathered", lambda found: [*found, torch.tensor([2.0])]):
        OneResult(validated=True).on_validation_epoch_end(None, judge)
        OneResult(validated=False).on_validation_epoch_end(None, judge)
        OneResult(validated=False).on_train_epoch_end(None, judge)
        OneResult(validated=True).on_validation_epoch_end(None, nn.Identity())
    assert judge._seen is seen
    assert torch.cat(seen).tolist() == [1.0, 2.0]
    assert torch.cat(judge._learned).tolist() == [7.0, 2.0]
