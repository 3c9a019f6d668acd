"""amqps: the broker's certificate is checked against the CA and the host's name."""
import subprocess

import pytest

from obsvc.exceptions import Unavailable
from obsvc.listeners.settings import BusSettings
from obsvc.messaging import Broker, Publisher, Tls, wire
from obsvc.messaging.connection import release
from tests.support.processes.listening import hearing, instance_update
from tests.support.processes.servers import RabbitMQ, free_port, own


def certificate(folder, name):
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
            "-addext", f"subjectAltName={name}", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    for file in ("key.pem", "cert.pem"):
        own(folder / file, "rabbitmq")


@pytest.fixture
def tls_broker(request):
    server = RabbitMQ()
    certificate(server.folder, request.param)
    port = free_port()
    server.extra_config = [
        f"listeners.ssl.1 = 127.0.0.1:{port}", f"ssl_options.cacertfile = {server.folder}/cert.pem",
        f"ssl_options.certfile = {server.folder}/cert.pem", f"ssl_options.keyfile = {server.folder}/key.pem",
        "ssl_options.verify = verify_none",
    ]
    with server:
        yield f"amqps://guest:guest@127.0.0.1:{port}//", str(server.folder / "cert.pem")


@pytest.mark.parametrize("tls_broker", ["IP:127.0.0.1"], indirect=True)
def test_notifications_come_over_tls(tls_broker):
    url, cafile = tls_broker
    with hearing(BusSettings("main", url, exchanges=("nova",), cafile=cafile)) as heard:
        publisher = Publisher(url, "nova", tls=Tls(cafile))
        for index in range(200):
            publisher.publish("notifications.info", wire.pack(instance_update(f"id-{index}")))
        publisher.close()
        heard.wait_count(200)
    with pytest.raises(Unavailable, match="certificate"):
        release(Broker(url).connect())  # not signed by any CA of the system's


@pytest.mark.parametrize("tls_broker", ["DNS:somewhere.else"], indirect=True)
def test_certificate_of_another_host_is_refused(tls_broker):
    url, cafile = tls_broker
    with pytest.raises(Unavailable, match="certificate"):
        release(Broker(url, tls=Tls(cafile)).connect())
