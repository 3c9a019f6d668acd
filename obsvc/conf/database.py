"""The engine's database."""
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

OPTIONS = [
    cfg.StrOpt(
        "url", secret=True, default="sqlite:////var/lib/obsvc/obsvc.sqlite",
        help="SQLAlchemy URL: sqlite:////path, postgresql+psycopg://user:password@host/name or "
             "mysql+pymysql://user:password@host/name.",
    ),
    cfg.IntOpt(
        "pool_size", default=10, min=1,
        help="Connections kept open per engine process. Ten: more concurrent writers would only wait for each "
             "other's locks.",
    ),
    cfg.IntOpt("max_retries", default=20, min=0,
               help="How often a transaction is retried after a deadlock or a serialization failure."),
]


def list_opts() -> OptionGroups:
    return [("database", OPTIONS)]
