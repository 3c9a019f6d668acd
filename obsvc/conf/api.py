"""The public API process."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

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
    cfg.IntOpt("max_waiters", default=0, min=0,
               help="Requests that may wait at once per process; more are answered 503. Threads are made for as many, "
                    "and some for what does not wait. 0: as many as 'threads' leaves."),
    cfg.IntOpt("waiters_per_project", default=0, min=0,
               help="Those of one project among them; more are answered 429. 0: half of all."),
    cfg.FloatOpt("requests_per_second", default=50.0, min=0.0,
                 help="Requests of one project per second and process; more are answered 429. 0: not limited. Not for "
                      "the roles admin and service."),
    cfg.IntOpt("requests_burst", default=200, min=1, help="Requests of one project at once, above that pace."),
    cfg.FloatOpt("max_wait", default=60.0, min=0.0, help="Longest wait of a long poll, seconds."),
    cfg.FloatOpt("max_watch", default=600.0, min=0.0,
                 help="Longest stream of changes, seconds; its client comes back with the version that it has, and is "
                      "asked anew who it is."),
]


def list_opts() -> OptionGroups:
    return [("api", OPTIONS)]
