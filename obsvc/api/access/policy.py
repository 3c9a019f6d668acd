"""Who may do what: oslo.policy rules with documented defaults.

``list_rules`` is what ``oslopolicy-sample-generator`` reads.  Which operations a rule guards is derived from the table
of routes.  Apart from these rules, tenancy is built in and no rule opens it: a snapshot is shown only to the project in
the snapshot, to admin and to service (``Caller.privileged``).
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from obsvc.api.caller import Caller
from obsvc.api.routes import ROUTES
from obsvc.exceptions import ConfigError, Forbidden

ADMIN = "rule:admin_or_service"
MEMBER = "rule:admin_or_service or rule:project_member"
READER = "rule:admin_or_service or rule:project_reader"
OPERATOR_READER = "rule:admin_or_service or (role:reader and system_scope:all)"


#: Path parameters, as the documentation of the rules names them where that differs from the routes.
_DOCUMENTED_AS = {
    "{observation_id}": "{id}", "{selector_id}": "{id}", "{resource_id}": "{id}", "{letter}": "{id}",
    "{resource_type}": "{type}",
}

_BASE_RULES = (
    policy.RuleDefault("admin_or_service", "role:admin or role:service",
                       "Operators and other services: they see every project."),
    policy.RuleDefault("project_member", "(role:member or role:manager) and project_id:%(project_id)s",
                       "Those who change what is their project's.  Keystone's manager implies member; a token made "
                       "otherwise may not say so."),
    policy.RuleDefault("project_reader", "rule:project_member or (role:reader and project_id:%(project_id)s)",
                       "Those who read what is their project's."),
)

#: The rules that the table of routes names: by default whom each lets, and what it is for.
_GUARDS = {
    "observation:start": (MEMBER, "Start observations."),
    "observation:read": (READER, "List, read and wait for observations."),
    "observation:stop": (MEMBER, "Stop observations."),
    "selector:start": (MEMBER, "Observe all of a type in the project."),
    "selector:read": (READER, "List and read selectors."),
    "selector:stop": (MEMBER, "Stop selectors."),
    "resource:read": (READER, "List resources, read the actual state of one, or wait for it."),
    "resource:check": (MEMBER, "Ask for a look at a resource now."),
    "resource:owner": (OPERATOR_READER, "Which observer owns a resource, and why."),
    "changes:read": (READER, "Follow the changes feed."),
    "stack:create": (MEMBER, "Create stacks."),
    "stack:read": (READER, "List and read stacks, their nodes and events."),
    "stack:update": (MEMBER, "Give stacks another goal, the last one, or have them stop or go on."),
    "stack:preview": (READER, "See what another goal would change."),
    "stack:delete": (MEMBER, "Delete stacks."),
    "cluster:read": (OPERATOR_READER, "How the cluster stands; members, partitions and duties."),
    "member:drain": (ADMIN, "Have a member hand over what it owns, for maintenance, and take part again."),
    "dead_letter:read": (ADMIN, "Messages that could not be read."),
    "dead_letter:replay": (ADMIN, "Read a message again, and have what it names looked at."),
}


def list_rules() -> list[policy.RuleDefault]:
    """Every rule with its default; ValueError where the table of routes names a rule that is not here."""
    guarded: dict[str, list[policy.Operation]] = {name: [] for name in _GUARDS}
    for route in ROUTES:
        for operation in route.operations:
            if operation.rule is None:
                continue
            if operation.rule not in guarded:
                raise ValueError(f"{operation.method} {route.path}: no policy rule is called {operation.rule!r}")
            guarded[operation.rule].append({"method": operation.method, "path": _documented(route.path)})
    return [*_BASE_RULES, *(
        policy.DocumentedRuleDefault(
            name=f"obsvc:{name}", check_str=check, description=description, operations=guarded[name])
        for name, (check, description) in _GUARDS.items())]


def _documented(path: str) -> str:
    for name, documented in _DOCUMENTED_AS.items():
        path = path.replace(name, documented)
    return path


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
