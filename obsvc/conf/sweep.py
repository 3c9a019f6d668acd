"""Sweeps: listings that find what notifications did not tell of."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.BoolOpt("enabled", default=True,
                help="Whether this observer carries out the sweeps that fall to it. All observers should say the "
                     "same: those led by one that says no are not made."),
    cfg.FloatOpt("fast_interval", default=30.0, min=0.1,
                 help="Seconds between two sweeps of a service whose notifications can't be relied on: a bus is not "
                      "consumed, changes were found without one, a gap was seen."),
    cfg.FloatOpt("slow_interval", default=300.0, min=0.1,
                 help="Seconds between two sweeps of a service whose notifications are seen to arrive. 300: a listing "
                      "of what changed costs one request or two."),
    cfg.FloatOpt("growth", default=2.0, min=1.0,
                 help="Factor by which the interval grows from one sweep to the next while notifications arrive."),
    cfg.FloatOpt("good_recall", default=0.95, min=0.0, max=1.0,
                 help="Share of the changes that notifications must tell of to be relied on."),
    cfg.IntOpt("full_every", default=10, min=1,
               help="Each sweep of this number lists everything instead of what changed: what is gone shows only "
                    "there."),
    cfg.FloatOpt("overlap", default=60.0, min=0.0,
                 help="Seconds that a listing of what changed reaches back behind the one before: more than the "
                      "clocks of the services and of the engine differ, and more than a look takes."),
    cfg.FloatOpt("grace", default=10.0, min=0.0,
                 help="Seconds that the notification of a change may come after the change was found otherwise "
                      "without counting as missed."),
    cfg.FloatOpt("recall_window", default=600.0, min=1.0,
                 help="Seconds of the past that the recall which the pace follows is counted over."),
]


def list_opts() -> OptionGroups:
    return [("sweep", OPTIONS)]
