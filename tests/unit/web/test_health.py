"""The health routes."""
import falcon.testing
import pytest

from obsvc.exceptions import ConfigError, Unauthorized
from obsvc.web.basic_auth import check_user_file
from obsvc.web.errors import refuse
from obsvc.web.health import HEALTH_PATHS, health_app


def test_ready_says_why_not():
    reasons = [None, "no engine answers"]
    http = falcon.testing.TestClient(health_app(lambda: reasons[0]))
    assert http.simulate_get("/healthz").json == {"status": "up"}
    assert http.simulate_get("/readyz").json == {"ready": True}
    reasons.reverse()
    answer = http.simulate_get("/readyz")
    assert answer.status_code == 503 and answer.json == {"ready": False, "reason": "no engine answers"}
    assert http.simulate_get("/metrics").headers["Content-Type"].startswith("text/plain")
    assert all(http.simulate_get(path).status_code != 404 for path in HEALTH_PATHS)


def test_a_refusal_of_a_middleware_has_the_one_shape():
    answered = {}
    body = b"".join(refuse({}, lambda status, headers: answered.update(headers, status=status),
                           Unauthorized("who are you?"), ("WWW-Authenticate", "Basic")))
    assert answered["status"].startswith("401 ") and answered["WWW-Authenticate"] == "Basic"
    assert answered["Content-Length"] == str(len(body)) and b"who are you?" in body
    assert answered["X-Openstack-Request-Id"].encode() in body


def test_a_user_file_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="htpasswd -B"):
        check_user_file(str(tmp_path / "none"))
