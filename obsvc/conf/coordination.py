"""Membership of observers (tooz)."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.ListOpt(
        "backend_urls", default=["etcd3+http://127.0.0.1:2379"],
        help="tooz URLs of one coordination backend, tried in turn (tooz's etcd driver takes one host per URL); "
             "file:///path for a single host.",
    ),
    cfg.StrOpt("group", default="obsvc-observers", help="Name of the tooz group; one per deployment."),
    cfg.FloatOpt(
        "lease", default=10.0, min=1.0,
        help="Seconds after which a silent member is considered gone. Ten: with less, a garbage-collection pause or "
             "a busy etcd looks like a death.",
    ),
    cfg.FloatOpt(
        "beat_interval", default=2.0, min=0.1,
        help="Seconds between two heartbeats of a member, to the backend and to the engine. A fifth of the lease, so "
             "that several may be lost.",
    ),
    cfg.IntOpt("partitions", min=1,
               help="Number of partitions that this member expects; it refuses to start if the engine's database was "
                    "created with another number (obsvc db upgrade --partitions). Default: the engine's."),
]


def list_opts() -> OptionGroups:
    return [("coordination", OPTIONS)]
