"""The engine process."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt("bind_host", default="127.0.0.1", help="Address that the engine's internal API binds to."),
    cfg.PortOpt("bind_port", default=9190, help="Port of the engine's internal API, /healthz and /metrics."),
    cfg.IntOpt("processes", default=1, min=1,
               help="gunicorn worker processes. SQLite: leave it at one."),
    cfg.IntOpt("threads", default=64, min=4,
               help="Requests handled at once per process. A waiting long poll holds one, so: observers + workers "
                    "+ waiters of the API, and some to spare."),
    cfg.StrOpt("auth_strategy", default="noauth", choices=["noauth", "http_basic"],
               help="noauth binds loopback addresses only."),
    cfg.StrOpt("http_basic_auth_user_file", default="/etc/obsvc/engine.htpasswd",
               help="htpasswd file (bcrypt) for http_basic."),
    cfg.FloatOpt("member_timeout", default=10.0, min=0.5,
                 help="Seconds without a beat after which a member counts as silent at the engine."),
    cfg.FloatOpt("drain_timeout", default=30.0, min=0.0,
                 help="Seconds that a live owner has to hand a partition over before it is taken by force."),
    cfg.FloatOpt("poll_interval", default=0.1, min=0.01,
                 help="Seconds between two reads of the change counters, by which waiters are woken."),
    cfg.FloatOpt("job_lease", default=60.0, min=1.0,
                 help="Seconds that a worker has for a job before it is offered again. Its requests to the cloud wait "
                      "for half of it at most, so that a slow create is not begun twice."),
    cfg.IntOpt("job_attempts", default=5, min=1, help="Attempts before a node fails."),
    cfg.IntOpt("build_attempts", default=3, min=1,
               help="Copies of a resource that are made before its node fails, where the cloud builds one into error "
                    "(a server that found no host). Each is deleted as the next is begun."),
    cfg.FloatOpt("job_retry_initial", default=1.0, min=0.0,
                 help="Seconds before a failed job's second attempt, and before a second copy."),
    cfg.FloatOpt("job_retry_max", default=60.0, min=0.0, help="Longest pause between two attempts."),
    cfg.FloatOpt("marker_sweep_pause", default=60.0, min=0.1,
                 help="Seconds between the first two looks for doubles of a resource whose create was attempted again "
                      "or never answered; each further pause is twice as long, up to the retention."),
    cfg.FloatOpt("node_timeout", default=3600.0, min=1.0,
                 help="Seconds that one node may take until a worker has started its action, and as many from "
                      "there to its goal."),
    cfg.FloatOpt("last_look_grace", default=15.0, min=0.0,
                 help="Seconds that a passed deadline waits for the one last look before it fails anything."),
    cfg.FloatOpt("progress_interval", default=60.0, min=0.1,
                 help="Seconds between two progress notifications of an unfinished stack."),
    cfg.FloatOpt("stalled_after", default=300.0, min=1.0,
                 help="Seconds without any progress after which a stack is called stalled."),
    cfg.FloatOpt("retention", default=7 * 86400.0, min=60.0, help="Seconds that deltas and events are kept."),
    cfg.IntOpt("selectors_per_project", default=100, min=1,
               help="Selectors that one project may have: every member holds all of all projects."),
]


def list_opts() -> OptionGroups:
    return [("engine", OPTIONS)]
