"""Every error class can be made from what goes over the wire: a message and a code."""
import pytest

import obsvc.api.auth
import obsvc.cmd.main  # noqa: F401  (with the API, every module that may define an error of its own)
from obsvc.exceptions import ObsvcError, by_code


def _all(cls: type[ObsvcError]) -> list[type[ObsvcError]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in _all(sub))]


@pytest.mark.parametrize("cls", [each for each in _all(ObsvcError) if "code" in each.__dict__])
def test_an_error_of_the_wire_becomes_its_class(cls):
    made = by_code(cls.code)("what and what to do", code=cls.code)
    assert (made.code, str(made), made.http_status) == (cls.code, "what and what to do", cls.http_status)


def test_an_unknown_code_is_an_error_all_the_same():
    made = by_code("from_the_future")("message", code="from_the_future")
    assert type(made) is ObsvcError and made.code == "from_the_future"
