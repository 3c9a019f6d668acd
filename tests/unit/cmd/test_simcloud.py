"""The command line of the simulated cloud: every dial can be set there."""
from __future__ import annotations

import msgspec
import pytest

from obsvc.cmd.simcloud import Simcloud, dials_from
from obsvc.exceptions import InvalidInput
from obsvc.simcloud.dials import BuildTime, Dials

ALL = (
    "--build-time uniform:1,4 --build-time-of compute.server=fixed:9 --failed-share 0.1 --failed-name bad "
    "--held-name slow --api-latency 0.2 --api-behind 0.3 --lost-share 0.4 --duplicated-share 0.5 --delayed-seconds 6 "
    "--delayed-share 0.6 --reordered-share 0.7 --reordered-seconds 8 --throttled-share 0.8 --unavailable-share 0.9 "
    "--retry-after 10 --silent nova --silent neutron --down volume --down some-id --throttled image"
)


def dials(words: str) -> Dials:
    return dials_from(Simcloud(None, None).get_parser("simcloud").parse_args(words.split()))


def test_every_dial_has_an_option():
    turned, default = dials(ALL), Dials()
    unturned = [field.name for field in msgspec.structs.fields(Dials)
                if getattr(turned, field.name) == getattr(default, field.name)]
    assert unturned == []
    assert turned.build_time("compute.server") == BuildTime("fixed", 9.0)
    assert (turned.down_services, turned.down_resources) == (("volume",), ("some-id",))


def test_without_options_the_dials_are_the_defaults():
    assert dials("") == Dials()


@pytest.mark.parametrize("words", ["--throttled nova", "--retry-after -1", "--unavailable-share 2",
                                   "--reordered-seconds -1", "--build-time-of server"])
def test_a_value_out_of_range_is_refused(words):
    with pytest.raises(InvalidInput):
        dials(words)
