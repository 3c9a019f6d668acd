"""What a Watch makes of streams that break off, of versions that are gone, of what comes twice."""
from __future__ import annotations

import json

import pytest

from obsvc import api_types as types
from obsvc.client.watching import PAUSE_MAX, Watch, events
from obsvc.exceptions import FeedTruncated, Forbidden, ObsvcError, TooManyRequests, Unavailable


def change(version):
    delta = {"version": version, "at": 1.0, "region": "R", "resource_type": "t", "resource_id": "i",
             "condition": "active", "before_condition": "pending", "standing": "none", "new": "field"}
    return f"id: {version}\nevent: change\ndata: {json.dumps(delta)}\n\n".encode()


def beat(version):
    return b'id: %d\nevent: heartbeat\ndata: {"next":%d}\n\n' % (version, version)


def failure(code):
    return b'event: error\ndata: {"error":{"code":"%s","message":"m"}}\n\n' % code.encode()


class Stream:
    """pieces: bytes, or an error to raise there."""

    def __init__(self, *pieces):
        self.pieces, self.closed = pieces, 0

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self):
        self.closed += 1


class Server:
    """Answers one connection after the other: a stream, or an error."""

    def __init__(self, *answers, listings=()):
        self.answers, self.listings = list(answers), list(listings)
        self.asked, self.listed, self.slept = [], [], []

    def connect(self, since):
        self.asked.append(since)
        if not self.answers:
            raise Over
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def listing(self, since):
        self.listed.append(since)
        answer = self.listings.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def watch(self, since=None, **options):
        return Watch(self.connect, self.listing, since, sleep=self.slept.append, **options)


class Over(Exception):
    """The test's server has no more."""


def drain(watch):
    """What comes until then."""
    found = []
    with pytest.raises(Over):
        for each in watch:
            found.append(each)
    return found


def versions(found):
    return [each.version for each in found]


def resource(version):
    return types.Resource("R", "t", f"r{version}", 1, version, condition="active", reported_at=5.0)


def test_events_are_read_from_pieces_of_any_size():
    text = b": comment\nretry: 5\n\n" + change(1) + b"data: a\ndata:b\n\n" + beat(2) + b"event: cut\ndata: off"
    whole = list(events([text]))
    assert [each.name for each in whole] == ["change", "message", "heartbeat"] and whole[1].data == b"a\nb"
    for size in (1, 2, 3, 7):
        assert list(events(text[at:at + size] for at in range(0, len(text), size))) == whole


def test_each_change_comes_once_over_streams_that_break_off_anywhere():
    first, second = change(1) + change(2), change(3) + change(4)
    server = Server(Stream(first + second[:30], Unavailable("cut")), Stream(change(2), second), Unavailable("away"),
                    Stream(beat(9)), Stream(change(10)))
    watch = server.watch(since=0)
    assert versions(drain(watch)) == [1, 2, 3, 4, 10]
    assert server.asked == [0, 2, 4, 4, 9, 10] and watch.position == 10


def test_from_now_on_is_where_the_first_heartbeat_says():
    server = Server(Unavailable("away"), Stream(beat(7), change(8)))
    assert versions(drain(server.watch())) == [8] and server.asked == [None, None, 8]


@pytest.mark.parametrize("gone", [FeedTruncated("gone"), Stream(failure("version_too_old"))])
def test_what_is_no_longer_kept_is_listed_in_order_and_then_followed(gone):
    listing = types.Listing((resource(9), resource(0), resource(6)), 12)
    server = Server(gone, Stream(change(13)), listings=[listing])
    found = drain(server.watch(since=5))
    assert [(each.version, each.cause) for each in found] == [(6, "listed"), (9, "listed"), (13, None)]
    assert found[0].resource_id == "r6" and found[0].condition == "active"
    assert server.listed == [5] and server.asked == [5, 12, 13]


def test_another_feed_is_listed_whole():
    server = Server(FeedTruncated("beyond"), Stream(change(4)),
                    listings=[types.Listing((), 3), types.Listing((resource(2),), 3)])
    assert versions(drain(server.watch(since=50))) == [2, 4] and server.listed == [50, None]


def test_a_listing_that_fails_is_made_again():
    server = Server(FeedTruncated("gone"), FeedTruncated("gone"), Stream(),
                    listings=[Unavailable("away"), types.Listing((resource(8),), 8)])
    assert versions(drain(server.watch(since=1))) == [8] and server.asked == [1, 1, 8, 8]


def test_pauses_grow_to_a_bound_and_begin_anew_after_something_came():
    server = Server(*[Unavailable("away")] * 12, Stream(beat(1), Unavailable("cut")))
    drain(server.watch(since=1))
    assert max(server.slept) <= PAUSE_MAX and server.slept[11] > PAUSE_MAX / 2 and server.slept[12] <= 0.1


def test_a_refusal_for_now_says_when_to_come_again():
    server = Server(TooManyRequests("slow", retry_after=7), Stream(change(1)))
    assert versions(drain(server.watch(since=0))) == [1] and 7 <= server.slept[0] < 8


@pytest.mark.parametrize("answer", [
    Forbidden("no"), Stream(failure("forbidden")), Stream(b"event: change\ndata: x\n\n")])
def test_what_will_not_pass_by_itself_is_raised(answer):
    with pytest.raises(ObsvcError):
        list(Server(answer).watch(since=0))


def test_patience_has_an_end():
    watch = Server(*[Unavailable("away")] * 5).watch(since=0, patience=0.0)
    with pytest.raises(Unavailable):
        list(watch)


def test_close_ends_it():
    stream = Stream(change(1), change(2))
    watch = Server(stream).watch(since=0)
    for each in watch:
        assert each.version == 1
        watch.close()
        stream.pieces = ()
        break
    assert list(watch) == [] and stream.closed >= 1
