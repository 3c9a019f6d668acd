"""Options that every process has."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt(
        "state_path", default="/var/lib/obsvc",
        help="Folder for what a process keeps on disk (standalone: the database and the coordination files). Nothing "
             "in it is needed for a restart, except standalone's database.",
    ),
    cfg.StrOpt(
        "host", sample_default="<hostname>",
        help="Name of this host in logs and member lists. Default: the system's host name.",
    ),
]


def list_opts() -> OptionGroups:
    return [("DEFAULT", OPTIONS)]
