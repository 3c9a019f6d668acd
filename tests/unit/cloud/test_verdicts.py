import pytest

from obsvc.cloud.verdicts import verdict


@pytest.mark.parametrize(("status", "says"), [
    (200, "answers"), (204, "answers"), (302, "answers"), (400, "answers"), (403, "answers"), (404, "answers"),
    (410, "answers"), (414, "answers"), (401, "fails"), (500, "fails"), (502, "fails"), (503, "fails"), (504, "fails"),
    (429, "throttles"),
])
def test_what_a_status_says_of_the_service(status, says):
    assert verdict(status) == says
