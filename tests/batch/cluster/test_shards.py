"""Every file is in exactly one shard, and a shard's name follows from its files."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cxrscreen.batch.cluster.items import Item, distinct, key_of, packed, unpacked
from cxrscreen.batch.cluster.shards import shard_size, shards_of, single

PATHS = st.lists(st.text(st.characters(), min_size=1, max_size=20), max_size=30)


def items(paths: list[str]) -> list[Item]:
    return distinct(Item(key_of(path), "file", path, "1-2", 3) for path in paths)


@settings(max_examples=25, deadline=None)
@given(PATHS, st.integers(1, 40))
def test_each_file_is_in_one_shard_and_the_order_stays(paths: list[str], size: int) -> None:
    found = items(paths)
    shards = shards_of(found, size)
    assert [item for shard in shards for item in shard.items] == found
    assert all(1 <= len(shard.items) <= size for shard in shards)
    assert len({shard.name for shard in shards}) == len(shards)
    assert shards == shards_of(found, size)
    assert [shard.items for shard in single(shards)] == [(item,) for item in found]


@settings(max_examples=25, deadline=None)
@given(PATHS)
def test_items_survive_the_way_to_another_machine(paths: list[str]) -> None:
    assert unpacked(packed(items(paths))) == tuple(items(paths))


def test_a_name_that_is_no_utf8_survives_too() -> None:
    item = Item(key_of("/in/\udcff.png"), "file", "/in/\udcff.png")
    assert unpacked(packed([item])) == (item,)
    assert packed([item]).isascii()


def test_the_same_radiograph_counts_once_and_its_key_says_nothing() -> None:
    twice = items(["/in/DOE^JANE.dcm", "/in/b.dcm", "/in/DOE^JANE.dcm"])
    assert [item.location for item in twice] == ["/in/DOE^JANE.dcm", "/in/b.dcm"]
    assert len(twice[0].key) == 32
    assert set(twice[0].key) <= set("0123456789abcdef")


def test_other_files_give_another_name() -> None:
    first, second = shards_of(items(["/a", "/b"]), 1)
    assert first.name != second.name != shards_of(items(["/a", "/b"]), 2)[0].name


def test_sizes_leave_no_worker_idle_and_lose_little() -> None:
    assert shard_size(10, 4) == 1
    assert shard_size(2_000, 2) == 125
    assert shard_size(10_000_000, 100) == 256
    assert shard_size(5, 0) == 1
