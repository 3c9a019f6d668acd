"""Keystone v3 of the simulated cloud: version documents, tokens with a catalogue, projects.

Any user name is taken, with the one password (or, for application credentials, secret).  Users named ``admin`` or
``obsvc`` or beginning with ``obsvc-`` get the admin role.  Bodies as in keystone's API reference, Identity v3.
"""
from __future__ import annotations

import secrets
import threading
import uuid
from dataclasses import dataclass
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud, iso, page, read_json, stable_id
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.world import Body, Resource

DOMAIN = {"id": "default", "name": "Default"}
#: type → (name, path); the sdk and keystoneauth look types up, and older tools older spellings of them.
SERVICES = {
    "identity": ("keystone", "/identity"),
    "compute": ("nova", "/compute/v2.1"),
    "network": ("neutron", "/network"),
    "block-storage": ("cinder", "/volume/v3"),
    "volumev3": ("cinderv3", "/volume/v3"),
    "image": ("glance", "/image"),
    "sim": ("sim", "/sim/v1"),
}


@dataclass(frozen=True)
class Token:
    """What a token stands for; project None: unscoped.  expires: epoch seconds."""

    user_id: str
    user_name: str
    project: dict[str, Any] | None
    roles: tuple[str, ...]
    methods: tuple[str, ...]
    issued: float
    expires: float

    def actor(self, request_id: str) -> Actor:
        project = self.project or {"id": "", "name": ""}
        return Actor(self.user_id, self.user_name, project["id"], project["name"], request_id, self.roles)


def roles_of(user_name: str) -> tuple[str, ...]:
    is_admin = user_name in ("admin", "obsvc") or user_name.startswith("obsvc-")
    return ("admin", "member", "reader") if is_admin else ("member", "reader")


class Tokens:
    """Tokens given out; any thread."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}

    def issue(self, token: Token) -> str:
        """Store it under a new id."""
        token_id = "gAAAAAB" + secrets.token_urlsafe(120)
        with self._lock:
            self._tokens[token_id] = token
            if len(self._tokens) % 1000 == 0:
                now = self._cloud.now
                self._tokens = {key: each for key, each in self._tokens.items() if each.expires > now}
        return token_id

    def get(self, token_id: str | None) -> Token | None:
        """The token, if it is one and has not expired."""
        token = self._tokens.get(token_id or "")
        return token if token is not None and token.expires > self._cloud.now else None

    def revoke(self, token_id: str | None) -> bool:
        with self._lock:
            return self._tokens.pop(token_id or "", None) is not None

    def revoke_all(self) -> int:
        """Make every token invalid at once, as a lost Fernet key does; how many there were."""
        with self._lock:
            count = len(self._tokens)
            self._tokens.clear()
            return count


def version(base: str) -> dict[str, Any]:
    return {"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": f"{base}/identity/v3/"}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]}


class Identity:
    """The resources of the Identity API, one method pair a path."""

    def __init__(self, cloud: Cloud, tokens: Tokens) -> None:
        self.cloud = cloud
        self.tokens = tokens
        for name in ("admin", "demo", "service"):
            self._add_project(stable_id("project", name), name, "")

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        app.add_route("/identity", self, suffix="versions")
        app.add_route("/identity/v3", self, suffix="version")
        app.add_route("/identity/v3/auth/tokens", self, suffix="tokens")
        app.add_route("/identity/v3/auth/catalog", self, suffix="catalog")
        app.add_route("/identity/v3/projects", self, suffix="projects")
        app.add_route("/identity/v3/auth/projects", self, suffix="projects")
        app.add_route("/identity/v3/projects/{id}", self, suffix="project")
        app.add_route("/identity/v3/users/{id}", self, suffix="user")

    # discovery

    def on_get_versions(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.status = falcon.HTTP_300
        resp.media = {"versions": {"values": [version(req.prefix)]}}

    def on_get_version(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"version": version(req.prefix)}

    # tokens

    def on_post_tokens(self, req: falcon.Request, resp: falcon.Response) -> None:
        auth = read_json(req, "auth", faults.keystone)
        try:
            methods = tuple(auth["identity"]["methods"])
            user_name, project_of_credential = self._authenticate(auth["identity"], methods)
            project = project_of_credential or self._scope(auth.get("scope"))
        except (KeyError, TypeError, AttributeError) as error:
            raise faults.keystone(400, f"Expecting to find {error} in the request body.") from error
        now = self.cloud.now
        token = Token(stable_id("user", user_name), user_name, project, roles_of(user_name), methods, now,
                      now + self.cloud.settings.token_seconds)
        resp.status = falcon.HTTP_201
        resp.set_header("X-Subject-Token", self.tokens.issue(token))
        resp.set_header("Vary", "X-Auth-Token")
        resp.media = {"token": self._described(token, req.prefix)}

    def _authenticate(self, identity: dict[str, Any], methods: tuple[str, ...]) -> tuple[str, dict[str, Any] | None]:
        password = self.cloud.settings.password
        if "password" in methods:
            user = identity["password"]["user"]
            if secrets.compare_digest(str(user["password"]).encode(), password.encode()):
                return str(user.get("name") or self._user_name(user["id"])), None
        elif "application_credential" in methods:
            credential = identity["application_credential"]
            if secrets.compare_digest(str(credential["secret"]).encode(), password.encode()):
                name = str(credential.get("name") or credential["id"])
                user = credential.get("user") or {}
                return str(user.get("name") or name), self._project("name", "admin")
        elif "token" in methods:
            token = self.tokens.get(identity["token"]["id"])
            if token is not None:
                return token.user_name, None
        raise faults.unauthorized()

    def _user_name(self, user_id: str) -> str:
        known = ("admin", "demo", "obsvc", "nova", "neutron")
        return next((name for name in known if stable_id("user", name) == user_id), user_id)

    def _scope(self, scope: Any) -> dict[str, Any] | None:
        if not isinstance(scope, dict):
            return None
        if "project" in scope:
            asked = scope["project"]
            project = self._project("id", asked["id"]) if "id" in asked else self._project("name", asked["name"])
            if project is None:
                raise faults.unauthorized()
            return project
        return self._project("name", "admin")

    def on_get_tokens(self, req: falcon.Request, resp: falcon.Response) -> None:
        if self.tokens.get(req.get_header("X-Auth-Token")) is None:
            raise faults.unauthorized()
        subject = req.get_header("X-Subject-Token") or ""
        token = self.tokens.get(subject)
        if token is None:
            raise faults.keystone(404, "Could not find token.")
        resp.set_header("X-Subject-Token", subject)
        resp.media = {"token": self._described(token, req.prefix)}

    def on_head_tokens(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.on_get_tokens(req, resp)

    def on_delete_tokens(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.tokens.revoke(req.get_header("X-Subject-Token"))
        resp.status = falcon.HTTP_204

    def on_get_catalog(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"catalog": self.catalog(req.prefix)}

    def catalog(self, base: str) -> list[dict[str, Any]]:
        """Every service with its endpoints in every region and interface, under ``base`` (scheme, host, port)."""
        return [
            {"id": stable_id("service", kind), "type": kind, "name": name, "endpoints": [
                {"id": stable_id("endpoint", f"{kind}.{region}.{interface}"), "interface": interface,
                 "region": region, "region_id": region, "url": base + path}
                for region in self.cloud.settings.regions for interface in ("public", "internal", "admin")
            ]}
            for kind, (name, path) in SERVICES.items()
        ]

    def _described(self, token: Token, base: str) -> dict[str, Any]:
        described: dict[str, Any] = {
            "methods": list(token.methods), "audit_ids": [uuid.uuid4().hex[:22]],
            "issued_at": iso(token.issued, micro=True) + "Z", "expires_at": iso(token.expires, micro=True) + "Z",
            "user": {"id": token.user_id, "name": token.user_name, "domain": DOMAIN, "password_expires_at": None},
        }
        if token.project is not None:
            described |= {
                "project": {"id": token.project["id"], "name": token.project["name"], "domain": DOMAIN},
                "is_domain": False, "catalog": self.catalog(base),
                "roles": [{"id": stable_id("role", role), "name": role} for role in token.roles],
            }
        return described

    # projects and users

    def _project(self, field: str, value: str) -> dict[str, Any] | None:
        return next((dict(project.body) for project in self.cloud.world.live("identity.project")
                     if project.body[field] == value), None)

    def _add_project(self, project_id: str, name: str, description: str) -> Resource:
        body = {"id": project_id, "name": name, "domain_id": "default", "parent_id": "default", "enabled": True,
                "is_domain": False, "description": description, "tags": [], "options": {}}
        return self.cloud.world.add("identity.project", body, project_id=project_id, status_field="enabled")

    def _tell(self, action: str, project_id: str, actor: Actor) -> None:
        """Keystone's CADF notification of a project that was created, updated or deleted."""
        payload = {
            "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "eventType": "activity",
            "id": str(uuid.uuid4()), "eventTime": iso(self.cloud.now, micro=True) + "+0000",
            "action": f"{action}.project", "outcome": "success",
            "observer": {"id": stable_id("observer", "keystone"), "typeURI": "service/security"},
            "initiator": {"id": actor.user_id, "typeURI": "service/security/account/user",
                          "host": {"address": "127.0.0.1", "agent": "-"}, "user_id": actor.user_id,
                          "project_id": actor.project_id, "request_id": actor.request_id,
                          "username": actor.user_name},
            "target": {"id": project_id, "typeURI": "data/security/project"}, "resource_info": project_id,
        }
        self.cloud.notify("keystone", "identity.sim-api", f"identity.project.{action}", payload, actor=None,
                          resource_id=project_id)

    def on_get_projects(self, req: falcon.Request, resp: falcon.Response) -> None:
        name = req.get_param("name")
        found = [body for _, body in self.cloud.world.listed("identity.project") if name in (None, body["name"])]
        resp.media = {"projects": page(found, req), "links": {"next": None, "previous": None, "self": req.uri}}

    def on_post_projects(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = read_json(req, "project", faults.keystone)
        name = str(asked.get("name") or "")
        if not name:
            raise faults.keystone(400, "'name' is a required property")
        with self.cloud.world.lock:
            if self._project("name", name):
                raise faults.keystone(409, "Conflict occurred attempting to store project - it is not permitted to "
                                           f"have two projects with the same name in the same domain: {name}.")
            resource = self._add_project(uuid.uuid4().hex, name, str(asked.get("description") or ""))
            self._tell("created", resource.id, req.context.actor)
        resp.status = falcon.HTTP_201
        resp.media = {"project": resource.body}

    def _found(self, project_id: str) -> tuple[Resource, Body]:
        found = self.cloud.world.shown("identity.project", project_id)
        if found is None:
            raise faults.keystone(404, f"Could not find project: {project_id}.")
        return found

    def on_get_project(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        resp.media = {"project": self._found(id)[1]}

    def on_patch_project(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        asked = read_json(req, "project", faults.keystone)
        with self.cloud.world.lock:
            resource, _ = self._found(id)
            allowed: Body = {key: asked[key] for key in ("name", "description", "enabled", "tags") if key in asked}
            self.cloud.world.change(resource, allowed)
            self._tell("updated", id, req.context.actor)
            resp.media = {"project": resource.body}

    def on_delete_project(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        with self.cloud.world.lock:
            resource, _ = self._found(id)
            self.cloud.world.remove(resource)
            self._tell("deleted", id, req.context.actor)
        resp.status = falcon.HTTP_204

    def on_get_user(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        resp.media = {"user": {"id": id, "name": self._user_name(id), "domain_id": "default", "enabled": True}}
