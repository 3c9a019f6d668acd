"""The catalogue of services: what an operator adds to the one of the package."""
from oslo_config import cfg

OPTIONS = [
    cfg.ListOpt("folders", default=[],
                help="Folders with catalogue files (*.yaml) of your own; each file adds a service, or replaces the one "
                     "of the same name. Observers and the API read them at start; give all of them the same. Check "
                     "files with 'obsvc catalog check'."),
]


def list_opts():
    return [("catalog", OPTIONS)]
