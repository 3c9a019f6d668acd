import pytest

from obsvc.process.batches import batched


@pytest.mark.parametrize(("items", "batches"), [
    ([], []), ([1], [(1,)]), ([1, 2], [(1, 2)]), (iter([1, 2, 3, 4, 5]), [(1, 2), (3, 4), (5,)]),
])
def test_batches(items, batches):
    assert list(batched(items, 2)) == batches


def test_a_size_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        list(batched([1], 0))
