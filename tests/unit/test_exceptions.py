"""Every error that goes over the wire can be made from what goes over it: a message and a code."""
import pytest

from obsvc import exceptions
from obsvc.exceptions import ObsvcError, by_code

WIRE = [each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, ObsvcError)]


@pytest.mark.parametrize("cls", WIRE)
def test_an_error_of_the_wire_becomes_its_class(cls):
    made = by_code(cls.code)("what and what to do", code=cls.code)
    assert type(made) is cls and (made.code, str(made)) == (cls.code, "what and what to do")


def test_codes_are_distinct():
    assert len(WIRE) > 8 and len({cls.code for cls in WIRE}) == len(WIRE)


def test_an_error_of_another_module_is_not_made_from_the_wire():
    class Local(ObsvcError):
        code = "local"

        def __init__(self, message, *, needed):
            super().__init__(message)

    assert by_code("local") is ObsvcError


def test_an_unknown_code_is_an_error_all_the_same():
    made = by_code("from_the_future")("message", code="from_the_future")
    assert type(made) is ObsvcError and made.code == "from_the_future"
