"""Sweeps: listings that find what notifications did not tell of."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.BoolOpt("enabled", default=True,
                help="Whether this observer carries out the sweeps assigned to it. Use the same value on all "
                     "observers: sweeps assigned to one with 'false' are not made."),
    cfg.FloatOpt("fast_interval", default=30.0, min=0.1,
                 help="Seconds between two sweeps of a service whose notifications can't be relied on: a bus is not "
                      "consumed, changes were found without a notification, or a gap was seen."),
    cfg.FloatOpt("slow_interval", default=300.0, min=0.1,
                 help="Seconds between two sweeps of a service whose notifications arrive. 300: a listing of what "
                      "changed costs one or two requests."),
    cfg.FloatOpt("growth", default=2.0, min=1.0,
                 help="Factor by which the interval grows from one sweep to the next while notifications arrive."),
    cfg.FloatOpt("good_recall", default=0.95, min=0.0, max=1.0,
                 help="Share of the changes that notifications must have announced to be relied on."),
    cfg.IntOpt("full_every", default=10, min=1,
               help="Every sweep of this number lists everything instead of what changed: only a full list shows "
                    "what is gone."),
    cfg.FloatOpt("overlap", default=60.0, min=0.0,
                 help="Seconds that a listing of what changed reaches back before the previous one: more than the "
                      "clocks of the services and of the engine differ, and more than a look takes."),
    cfg.FloatOpt("grace", default=10.0, min=0.0,
                 help="Seconds within which the notification of a change may still arrive, after the change was "
                      "found otherwise, without counting as missed."),
    cfg.FloatOpt("recall_window", default=600.0, min=1.0,
                 help="Seconds of history over which the recall that sets the pace is computed."),
]


def list_opts() -> OptionGroups:
    return [("sweep", OPTIONS)]
