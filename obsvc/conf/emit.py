"""Where obsvc's own notifications go."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt("url", secret=True, help="kombu URL of the bus to emit on; unset: nothing is emitted."),
    cfg.StrOpt("exchange", default="obsvc", help="Exchange (topic type)."),
    cfg.StrOpt("topic", default="notifications", help="Topic; the routing key is <topic>.<priority>."),
    cfg.StrOpt("publisher_id", sample_default="obsvc.<hostname>", help="publisher_id of what is emitted."),
]


def list_opts() -> OptionGroups:
    return [("emit", OPTIONS)]
