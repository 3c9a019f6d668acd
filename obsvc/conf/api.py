"""The public API process."""
from oslo_config import cfg

OPTIONS = [
    cfg.StrOpt("bind_host", default="127.0.0.1", help="Address that the public API binds to."),
    cfg.PortOpt("bind_port", default=9193, help="Port of the public API, /healthz and /metrics."),
    cfg.IntOpt("processes", default=1, min=1, help="gunicorn worker processes."),
    cfg.IntOpt("threads", default=64, min=4, help="Requests handled at once per process; a waiter holds one."),
    cfg.StrOpt("auth_strategy", default="noauth", choices=["noauth", "http_basic", "keystone"],
               help="noauth binds loopback addresses only."),
    cfg.StrOpt("http_basic_auth_user_file", default="/etc/obsvc/api.htpasswd",
               help="htpasswd file (bcrypt) for http_basic."),
    cfg.StrOpt("default_region", default="RegionOne",
               help="Region of a resource or stack where a request names none."),
    cfg.FloatOpt("max_wait", default=60.0, min=0.0, help="Longest wait of a long poll, seconds."),
]


def list_opts():
    return [("api", OPTIONS)]
