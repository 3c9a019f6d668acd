"""The observer process."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt("name", sample_default="<hostname>",
               help="Name of this member: stable across restarts, unique in the deployment. Default: the host name."),
    cfg.StrOpt("health_host", default="127.0.0.1", help="Address that /healthz, /readyz and /metrics bind to."),
    cfg.PortOpt("health_port", default=9191, help="Port of /healthz, /readyz and /metrics; 0: any free one."),
    cfg.IntOpt("fetch_threads", default=32, min=1,
               help="Concurrent fetches. 32: more is slower with the requests library (measured)."),
    cfg.FloatOpt("coalesce_interval", default=1.0, min=0.0,
                 help="Seconds after a look during which further notifications of the same resource are merged into "
                      "one more look. That look waits until settle_delay after the newest of them, but at most this "
                      "long again."),
    cfg.FloatOpt("settle_delay", default=1.0, min=0.0,
                 help="Seconds until a look is repeated that did not show the announced settled state: a service's "
                      "API can lag behind its notification."),
    cfg.FloatOpt("mark_after", default=10.0, min=0.1,
                 help="Seconds after which an unsettled notification becomes a look mark at the engine, so that no "
                      "message stays unacknowledged for long."),
    cfg.FloatOpt("appear_timeout", default=60.0, min=0.0,
                 help="Seconds during which a resource that was never seen may answer 404 before it is considered "
                      "deleted."),
    cfg.FloatOpt("memory_window", default=60.0, min=1.0,
                 help="Seconds for which dropped notifications are remembered for a takeover; must exceed lease + "
                      "mark_after + allowed_lag."),
    cfg.IntOpt("memory_limit", default=200_000, min=1000,
               help="Maximum number of refs remembered; if more arrive within the window, a takeover resyncs instead."),
    cfg.FloatOpt("allowed_lag", default=15.0, min=1.0,
                 help="Age in seconds of the oldest unsettled notification below which a member reports itself as "
                      "caught up."),
    cfg.FloatOpt("poll_initial", default=20.0, min=0.1,
                 help="Seconds until the first poll of a resource whose goal is awaited, and until the next one "
                      "after a notification that only said that something is under way. 20: a lost notification is "
                      "made up for well within a minute, and the usual build is not polled."),
    cfg.FloatOpt("poll_growth", default=1.6, min=1.0, help="Factor between two successive poll delays."),
    cfg.FloatOpt("poll_max", default=300.0, min=0.1,
                 help="Longest time between two polls while the goal is not reached, seconds."),
    cfg.FloatOpt("takeover_spread", default=5.0, min=0.0,
                 help="Seconds over which due polls are spread after partitions were gained, so that a takeover does "
                      "not flood the cloud's API."),
    cfg.IntOpt("report_batch", default=100, min=1, max=1000,
               help="Maximum number of reports in one request to the engine."),
    cfg.FloatOpt("report_age", default=0.05, min=0.0,
                 help="Seconds that a report waits for others to share its request."),
    cfg.IntOpt("backlog_limit", default=20_000, min=100,
               help="Limit for each of: refs waiting for a look, reports waiting for the engine, unsettled "
                    "deliveries. Beyond it nothing more is taken from the buses until there is room."),
    cfg.FloatOpt("drain_timeout", default=30.0, min=0.0,
                 help="Seconds that a stopping observer has to finish or mark what it has begun."),
]


def list_opts() -> OptionGroups:
    return [("observer", OPTIONS)]
