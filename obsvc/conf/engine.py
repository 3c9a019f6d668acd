"""The engine process."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt("bind_host", default="127.0.0.1", help="Address that the engine's internal API binds to."),
    cfg.PortOpt("bind_port", default=9190, help="Port of the engine's internal API, /healthz and /metrics."),
    cfg.IntOpt("processes", default=1, min=1,
               help="gunicorn worker processes. With SQLite, leave it at 1."),
    cfg.IntOpt("threads", default=64, min=4,
               help="Requests handled at once per process. Each waiting long poll holds one, so allow for observers "
                    "+ workers + waiting API requests, and some more."),
    cfg.StrOpt("auth_strategy", default="noauth", choices=["noauth", "http_basic"],
               help="noauth binds loopback addresses only."),
    cfg.StrOpt("http_basic_auth_user_file", default="/etc/obsvc/engine.htpasswd",
               help="htpasswd file (bcrypt) for http_basic."),
    cfg.FloatOpt("member_timeout", default=10.0, min=0.5,
                 help="Seconds without a heartbeat after which the engine considers a member silent."),
    cfg.FloatOpt("drain_timeout", default=30.0, min=0.0,
                 help="Seconds that a live owner has to hand over a partition before it is taken by force."),
    cfg.FloatOpt("poll_interval", default=0.1, min=0.01,
                 help="Seconds between two reads of the change counters, which wake waiting requests."),
    cfg.FloatOpt("job_lease", default=60.0, min=1.0,
                 help="Seconds that a worker has for a job before it is offered again. Its cloud requests wait for "
                      "at most half of that, so that a slow create is not started twice."),
    cfg.IntOpt("job_attempts", default=5, min=1, help="Attempts at a job before its node fails."),
    cfg.IntOpt("build_attempts", default=3, min=1,
               help="Copies of a resource that are created before its node fails, where the cloud builds one into "
                    "error (a server for which no host was found). Each is deleted when the next is begun."),
    cfg.FloatOpt("job_retry_initial", default=1.0, min=0.0,
                 help="Seconds before the second attempt at a failed job, and before a second copy."),
    cfg.FloatOpt("job_retry_max", default=60.0, min=0.0, help="Longest pause between two attempts."),
    cfg.FloatOpt("marker_sweep_pause", default=60.0, min=0.1,
                 help="Seconds between the first two searches for duplicates of a resource whose create was "
                      "attempted again or never answered; each further pause is twice as long, up to the retention."),
    cfg.FloatOpt("node_timeout", default=3600.0, min=1.0,
                 help="Seconds that a node may take until a worker has started its action, and again from there "
                      "until it reaches its goal."),
    cfg.FloatOpt("last_look_grace", default=15.0, min=0.0,
                 help="Seconds to wait, after a deadline has passed, for one last look before anything fails."),
    cfg.FloatOpt("progress_interval", default=60.0, min=0.1,
                 help="Seconds between two progress notifications of an unfinished stack."),
    cfg.FloatOpt("stalled_after", default=300.0, min=1.0,
                 help="Seconds without any progress after which a stack is reported as stalled."),
    cfg.FloatOpt("retention", default=7 * 86400.0, min=60.0, help="Seconds that deltas and events are kept."),
    cfg.IntOpt("selectors_per_project", default=100, min=1,
               help="Maximum number of selectors of one project: every member holds all selectors of all projects."),
]


def list_opts() -> OptionGroups:
    return [("engine", OPTIONS)]
