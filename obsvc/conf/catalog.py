"""The catalogue of services: what an operator adds to the one of the package."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.ListOpt("folders", default=[],
                help="Folders with catalogue files (.yaml) of your own; each file adds a service, or replaces the "
                     "one of the same name. Observers and the API read them at start: use the same files everywhere. "
                     "Check files with 'obsvc catalog check'."),
    cfg.ListOpt("trust_payload", default=[],
                help="Resource types (such as network.network and network.port) whose notifications are trusted: a "
                     "payload that is complete and newer than what is known becomes the snapshot, without a fetch; "
                     "sweeps are the check. Whoever may publish on the bus is then believed. 'obsvc catalog list' "
                     "shows which types have complete payloads, 'obsvc catalog check' whether those of your cloud "
                     "are. Use the same value on all observers, and upgrade engines first."),
]


def list_opts() -> OptionGroups:
    return [("catalog", OPTIONS)]
