"""The caller of a request: what authentication established, and which projects' resources it may see."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """project_id None: no project (an operator, or noauth).  system_scope: ``all`` for a system-scoped token, which
    reads what its roles allow of the cluster, and nothing of projects."""

    user_id: str | None = None
    project_id: str | None = None
    roles: tuple[str, ...] = ()
    service_roles: tuple[str, ...] = ()
    system_scope: str | None = None

    @property
    def privileged(self) -> bool:
        """Whether snapshots of every project may be shown."""
        return bool({"admin", "service"} & {role.lower() for role in self.roles})

    def sees(self, project_id: str | None) -> bool:
        """Whether what belongs to ``project_id`` may be shown."""
        return self.privileged or (project_id is not None and project_id == self.project_id)

    @property
    def scope(self) -> str | None:
        """The project that listings are limited to; None for every project.  Never None for the unprivileged."""
        return None if self.privileged else (self.project_id or "")


#: Everybody, where there is no Keystone: as in Ironic, the operator.
OPERATOR = Caller(user_id="operator", roles=("admin", "member", "reader"))
