"""The public API process."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt("bind_host", default="127.0.0.1", help="Address that the public API binds to."),
    cfg.PortOpt("bind_port", default=9193, help="Port of the public API, /healthz and /metrics."),
    cfg.IntOpt("processes", default=1, min=1, help="gunicorn worker processes."),
    cfg.IntOpt("threads", default=64, min=4,
               help="Requests handled at once per process; a waiting request holds one of them."),
    cfg.StrOpt("auth_strategy", default="noauth", choices=["noauth", "http_basic", "keystone"],
               help="noauth binds loopback addresses only."),
    cfg.StrOpt("http_basic_auth_user_file", default="/etc/obsvc/api.htpasswd",
               help="htpasswd file (bcrypt) for http_basic."),
    cfg.StrOpt("default_region", default="RegionOne",
               help="Region of a resource or stack where a request names none."),
    cfg.IntOpt("max_waiters", default=0, min=0,
               help="Requests that may wait at the same time per process; further ones are answered 503. The process "
                    "gets a thread for each of them, and some more for requests that do not wait. 0: as many as "
                    "'threads' allows."),
    cfg.IntOpt("waiters_per_project", default=0, min=0,
               help="Requests of one project that may wait at the same time per process; further ones are answered "
                    "429. 0: half of max_waiters."),
    cfg.FloatOpt("requests_per_second", default=50.0, min=0.0,
                 help="Requests per second of one project at one process; further ones are answered 429. 0: no "
                      "limit. The roles admin and service are exempt."),
    cfg.IntOpt("requests_burst", default=200, min=1,
               help="Requests that one project may send in a burst before requests_per_second applies."),
    cfg.FloatOpt("max_wait", default=60.0, min=0.0, help="Longest wait of a long poll, seconds."),
    cfg.FloatOpt("max_watch", default=600.0, min=0.0,
                 help="Longest duration of a stream of changes, seconds. The client then reconnects with the version "
                      "that it has, and is authenticated anew."),
]


def list_opts() -> OptionGroups:
    return [("api", OPTIONS)]
