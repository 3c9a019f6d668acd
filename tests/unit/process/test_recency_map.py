from obsvc.process.recency_map import RecencyMap


def test_what_was_put_longest_ago_is_forgotten_first():
    known = RecencyMap(3)
    for key in "abcad":
        known.put(key, key.upper())
    assert list(known.items()) == [("c", "C"), ("a", "A"), ("d", "D")]


def test_reading_changes_nothing():
    known = RecencyMap(2)
    known.put("a", 1)
    known.put("b", 2)
    assert (known["a"], known.get("a"), known.get("x")) == (1, 1, None)
    known.put("c", 3)
    assert list(known) == ["b", "c"]


def test_it_is_walked_from_the_oldest_on():
    known = RecencyMap(9)
    for key in (3, 1, 2, 3):
        known.put(key, None)
    assert list(known) == [1, 2, 3] and known.popitem(last=False) == (1, None)
