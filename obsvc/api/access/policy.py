"""Who may do what: oslo.policy rules with documented defaults.

``list_rules`` is what ``oslopolicy-sample-generator`` reads.  Beside these rules, tenancy is built in and no rule
opens it: a snapshot is shown to the project in the snapshot, to admin and to service only (``Caller.privileged``).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from obsvc.exceptions import ConfigError, Forbidden

ADMIN = "rule:admin_or_service"
MEMBER = "rule:admin_or_service or rule:project_member"
READER = "rule:admin_or_service or rule:project_reader"
OPERATOR_READER = "rule:admin_or_service or (role:reader and system_scope:all)"


def _rule(name: str, check: str, description: str, *operations: tuple[str, str]) -> policy.DocumentedRuleDefault:
    return policy.DocumentedRuleDefault(
        name=f"obsvc:{name}", check_str=check, description=description,
        operations=[{"method": method, "path": path} for method, path in operations],
    )


_RULES = [
    policy.RuleDefault("admin_or_service", "role:admin or role:service",
                       "Operators and other services: they see every project."),
    policy.RuleDefault("project_member", "(role:member or role:manager) and project_id:%(project_id)s",
                       "Those who change what is their project's.  Keystone's manager implies member; a token made "
                       "otherwise may not say so."),
    policy.RuleDefault("project_reader", "rule:project_member or (role:reader and project_id:%(project_id)s)",
                       "Those who read what is their project's."),
    _rule("observation:start", MEMBER, "Start observations.", ("POST", "/v1/observations"),
          ("POST", "/v1/observations/start")),
    _rule("observation:read", READER, "List, read and wait for observations.", ("GET", "/v1/observations"),
          ("GET", "/v1/observations/{id}"), ("GET", "/v1/observations/{id}/wait")),
    _rule("observation:stop", MEMBER, "Stop observations.", ("DELETE", "/v1/observations/{id}"),
          ("POST", "/v1/observations/stop")),
    _rule("selector:start", MEMBER, "Observe all of a type in the project.", ("POST", "/v1/selectors")),
    _rule("selector:read", READER, "List and read selectors.", ("GET", "/v1/selectors"), ("GET", "/v1/selectors/{id}")),
    _rule("selector:stop", MEMBER, "Stop selectors.", ("DELETE", "/v1/selectors/{id}")),
    _rule("resource:read", READER, "List resources, read the actual state of one, or wait for it.",
          ("GET", "/v1/resources"), ("GET", "/v1/resources/{type}/{id}")),
    _rule("resource:check", MEMBER, "Ask for a look at a resource now.", ("POST", "/v1/resources/{type}/{id}/check")),
    _rule("resource:owner", OPERATOR_READER, "Which observer owns a resource, and why.",
          ("GET", "/v1/resources/{type}/{id}/owner")),
    _rule("changes:read", READER, "Follow the changes feed.", ("GET", "/v1/changes"), ("GET", "/v1/watch")),
    _rule("stack:create", MEMBER, "Create stacks.", ("POST", "/v1/stacks")),
    _rule("stack:read", READER, "List and read stacks, their nodes and events.", ("GET", "/v1/stacks"),
          ("GET", "/v1/stacks/{stack}"), ("GET", "/v1/stacks/{stack}/resources"), ("GET", "/v1/stacks/{stack}/events")),
    _rule("stack:update", MEMBER, "Give stacks another goal, the last one, or have them stop or go on.",
          ("PUT", "/v1/stacks/{stack}"), ("POST", "/v1/stacks/{stack}/rollback"),
          ("POST", "/v1/stacks/{stack}/cancel"), ("POST", "/v1/stacks/{stack}/resume")),
    _rule("stack:preview", READER, "See what another goal would change.", ("POST", "/v1/stacks/{stack}/preview")),
    _rule("stack:delete", MEMBER, "Delete stacks.", ("DELETE", "/v1/stacks/{stack}")),
    _rule("cluster:read", OPERATOR_READER, "How the cluster stands; members, partitions and duties.",
          ("GET", "/v1/status"), ("GET", "/v1/members"), ("GET", "/v1/partitions"),
          ("GET", "/v1/partitions/{partition}"), ("GET", "/v1/duties")),
    _rule("member:drain", ADMIN, "Have a member hand over what it owns, for maintenance, and take part again.",
          ("PUT", "/v1/members/{name}/drain"), ("DELETE", "/v1/members/{name}/drain")),
    _rule("dead_letter:read", ADMIN, "Messages that could not be read.", ("GET", "/v1/dead-letters"),
          ("GET", "/v1/dead-letters/{id}")),
    _rule("dead_letter:replay", ADMIN, "Read a message again, and have what it names looked at.",
          ("POST", "/v1/dead-letters/{id}/replay")),
]


def list_rules() -> list[policy.RuleDefault]:
    """Every rule with its default."""
    return list(_RULES)


@dataclass(frozen=True)
class Caller:
    """Who asks.  project_id None: no project (an operator, or noauth).  system_scope: ``all`` for a token of the whole
    system: it reads of the cluster what its roles allow, and of projects nothing."""

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


#: Who everybody is where there is no Keystone: as in Ironic, the operator.
OPERATOR = Caller(user_id="operator", roles=("admin", "member", "reader"))


@dataclass
class Policy:
    """The enforcer; any thread."""

    conf: cfg.ConfigOpts
    _enforcer: policy.Enforcer = field(init=False)

    def __post_init__(self) -> None:
        self._enforcer = policy.Enforcer(self.conf)
        self._enforcer.register_defaults(list_rules())
        try:
            self._enforcer.load_rules()
        except (cfg.Error, policy.InvalidDefinitionError, policy.InvalidContextObject, ValueError, OSError) as error:
            raise ConfigError(f"[oslo_policy] policy_file can't be used: {' '.join(str(error).split())}") from error

    def authorize(self, caller: Caller, rule: str, target: Mapping[str, Any] | None = None) -> None:
        """Raise Forbidden unless ``obsvc:<rule>`` lets the caller; target: by default the caller's own project."""
        if not caller.privileged and caller.project_id is None and caller.system_scope is None:
            raise Forbidden("expected a token of a project (or the role admin or service), got one without a project")
        credentials = {"user_id": caller.user_id, "project_id": caller.project_id, "roles": list(caller.roles),
                       "service_roles": list(caller.service_roles), "system_scope": caller.system_scope}
        # oslo.policy compares texts: a caller without a project must not match a target without one
        target = target if target is not None else {"project_id": caller.project_id or "a project"}
        if not self._enforcer.authorize(f"obsvc:{rule}", dict(target), credentials, do_raise=False):
            raise Forbidden(f"policy obsvc:{rule} does not allow this: expected one of the roles that it names, "
                            f"got {', '.join(caller.roles) or 'none'}")
