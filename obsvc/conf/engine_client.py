"""How observers, workers and the API reach the engine."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt(
        "carrier", default="http",
        help="Name of the carrier, an entry point of the group obsvc.engine_client; another engine brings its own.",
    ),
    cfg.ListOpt(
        "endpoints", default=["http://127.0.0.1:9190"],
        help="Base URLs of engine processes, tried in turn: the first that answers is kept until it fails.",
    ),
    cfg.FloatOpt(
        "timeout", default=10.0, min=0.1,
        help="Seconds to wait for an answer (in addition to the wait of a long poll). Ten: a batch of 500 reports "
             "takes well under a second, and claiming everything a few.",
    ),
    cfg.StrOpt("username", help="User for HTTP basic authentication at the engine; unset: no credentials are sent."),
    cfg.StrOpt("password", secret=True, help="Password for HTTP basic authentication at the engine."),
    cfg.StrOpt("cafile", help="CA bundle to verify https endpoints with. Default: the system's."),
]


def list_opts() -> OptionGroups:
    return [("engine_client", OPTIONS)]
