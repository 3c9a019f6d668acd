import pytest

from obsvc.process.urls import without_secrets


@pytest.mark.parametrize(("url", "shown"), [
    ("amqp://user:geheim@host:5672//", "amqp://user:***@host:5672//"),
    ("postgresql+psycopg://user:geheim@host/name?password=geheim", "postgresql+psycopg://user:***@host/name"),
    ("etcd3+http://127.0.0.1:2379", "etcd3+http://127.0.0.1:2379"),
    ("file:///var/lib/obsvc", "file:///var/lib/obsvc"),
    ("sqlite:////var/lib/obsvc.sqlite", "sqlite:////var/lib/obsvc.sqlite"),
    ("sqlite://", "sqlite://"),
    ("http://geheim@host/", "http://***@host/"),
    ("http://host/path#geheim", "http://host/path"),
    ("geheim", "…"),
])
def test_what_is_shown(url, shown):
    assert without_secrets(url) == shown


@pytest.mark.parametrize("password", ["ge/heim", "ge@heim", "ge?heim", "ge#heim", "ge:heim", "//geheim", "ge heim"])
def test_a_password_that_should_have_been_quoted_is_not_shown(password):
    shown = without_secrets(f"amqp://user:{password}@host:5672//")
    assert shown == "amqp://user:***@host:5672//"
