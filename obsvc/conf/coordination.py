"""Membership of observers (tooz)."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.ListOpt(
        "backend_urls", default=["etcd3+http://127.0.0.1:2379"],
        help="tooz URLs of one coordination backend, tried in turn (its etcd driver takes one host a URL); "
             "file:///path for one host alone.",
    ),
    cfg.StrOpt("group", default="obsvc-observers", help="Name of the tooz group. One a deployment."),
    cfg.FloatOpt(
        "lease", default=10.0, min=1.0,
        help="Seconds after which a silent member is gone. Ten: shorter reacts to a garbage-collection pause or "
             "a busy etcd as to a death.",
    ),
    cfg.FloatOpt(
        "beat_interval", default=2.0, min=0.1,
        help="Seconds between two beats of a member, to the backend and to the engine. A fifth of the lease: "
             "several may be lost.",
    ),
    cfg.IntOpt("partitions", min=1,
               help="Number of partitions that this member expects; it refuses to start where the engine's database "
                    "was made with another (obsvc db upgrade --partitions). Default: the engine's."),
]


def list_opts() -> OptionGroups:
    return [("coordination", OPTIONS)]
