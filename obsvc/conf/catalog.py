"""The catalogue of services: what an operator adds to the one of the package."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.ListOpt("folders", default=[],
                help="Folders with catalogue files (.yaml) of your own; each file adds a service, or replaces the one "
                     "of the same name. Observers and the API read them at start; give all of them the same. Check "
                     "files with 'obsvc catalog check'."),
    cfg.ListOpt("trust_payload", default=[],
                help="Resource types (network.network, network.port) of which a notification's payload is taken for "
                     "the snapshot, without a fetch, where it is whole and newer than what is known; sweeps are the "
                     "check. Whoever may publish on the bus is believed then. Which types have whole payloads: "
                     "'obsvc catalog list'; whether yours are: 'obsvc catalog check'. Give all observers the same; "
                     "engines are upgraded first."),
]


def list_opts() -> OptionGroups:
    return [("catalog", OPTIONS)]
