"""The notification buses: ``[buses] names`` lists them, each has a group ``[bus:NAME]``."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

NAMES = cfg.ListOpt("names", default=[], help="Names of the buses; each NAME has its options in [bus:NAME].")

BUS_OPTIONS = [
    cfg.StrOpt("url", secret=True, default="amqp://guest:guest@127.0.0.1:5672//",
               help="kombu URL of the broker: amqp://, amqps://, or filesystem:// for the demo. Several, separated "
                    "by ';', are tried in turn."),
    cfg.ListOpt("exchanges", default=["nova", "neutron", "openstack", "cinder", "glance", "keystone"],
                help="Exchanges to listen on, as the services' control_exchange has them. cinder and manila leave "
                     "oslo.messaging's default, openstack."),
    cfg.ListOpt("topics", default=["notifications", "versioned_notifications"],
                help="Notification topics, without the priority."),
    cfg.ListOpt("priorities", default=["info", "error", "warn", "audit", "critical"],
                help="Priorities to bind; debug and sample carry nothing about a resource's state."),
    cfg.StrOpt("region", default="RegionOne", help="Region of the services that publish here."),
    cfg.StrOpt("queue_type", default="classic", choices=["classic", "quorum"], help="Type of our own queue."),
    cfg.IntOpt("queue_expires", default=3600, min=60,
               help="Seconds after which the broker drops our queue when nobody consumes it. An hour: a restart or "
                    "an upgrade loses nothing, and a member that is gone for good leaves nothing behind."),
    cfg.IntOpt("queue_max_length", default=500_000, min=1000,
               help="Maximum number of messages in our queue; a queue that is nearly full counts as a gap."),
    cfg.IntOpt("prefetch", default=5000, min=1, max=65535,
               help="Maximum number of unacknowledged messages. A message about an observed resource stays "
                    "unacknowledged until its look is reported, up to three seconds in a burst, and so do the "
                    "messages behind it: the default allows 1,600 notifications a second. Beyond that, messages wait "
                    "in the broker; behind a message that takes longer, messages are acknowledged one by one, at "
                    "three times the broker's CPU. The broker holds this many messages in memory for us and delivers "
                    "as many again after a crash; an observer keeps a few hundred bytes of each."),
    cfg.FloatOpt("heartbeat", default=20.0, min=0.0, help="Seconds of the AMQP heartbeat; 0: no heartbeat."),
    cfg.StrOpt("cafile", help="CA bundle for amqps."),
    cfg.StrOpt("certfile", help="Client certificate for amqps."),
    cfg.StrOpt("keyfile", help="Key of the client certificate."),
]


def bus_groups(conf: cfg.ConfigOpts) -> dict[str, cfg.ConfigOpts.GroupAttr]:
    """The options of every bus that ``[buses] names`` lists, by name.

    Their groups are registered here and not with the others: before the files are read no name is known.
    """
    groups = {}
    for name in conf.buses.names:
        group = f"bus:{name}"
        conf.register_opts(BUS_OPTIONS, group)
        groups[name] = conf[group]
    return groups


def list_opts() -> OptionGroups:
    return [("buses", [NAMES]), ("bus:name", BUS_OPTIONS)]
