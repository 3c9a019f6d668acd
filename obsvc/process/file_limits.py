"""The limit on open files and connections of this process: raised as needed, or an error that says it is too low."""
from __future__ import annotations

import resource

from obsvc.exceptions import ConfigError


def raise_nofile_limit(needed: int, *, what: str) -> None:
    """Raise the soft limit to ``needed`` open files; ConfigError where the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(f"{what} needs {needed} open files, the hard limit is {hard}: raise it (LimitNOFILE= in the "
                          "systemd unit, ulimit -Hn), or lower the option")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
