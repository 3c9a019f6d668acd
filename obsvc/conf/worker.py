"""The worker process."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt("name", sample_default="<hostname>.<pid>", help="Name of this worker in leases and logs."),
    cfg.StrOpt("health_host", default="127.0.0.1", help="Address that /healthz, /readyz and /metrics bind to."),
    cfg.PortOpt("health_port", default=9192, help="Port of /healthz, /readyz and /metrics; 0: any free one."),
    cfg.IntOpt("threads", default=4, min=1, help="Concurrent jobs."),
    cfg.FloatOpt("drain_timeout", default=30.0, min=0.0,
                 help="Seconds that a stopping worker gives its jobs to finish."),
]


def list_opts() -> OptionGroups:
    return [("worker", OPTIONS)]
