"""The Compute API of the simulated cloud: servers and flavors, in nova's paths, shapes and faults."""
from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud, iso, next_links, page, read_json, visible
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.cinder.volumes import Volumes
from obsvc.simcloud.services.image import Images
from obsvc.simcloud.services.neutron.network import Network
from obsvc.simcloud.services.nova import new_server
from obsvc.simcloud.services.nova.courses import server_status
from obsvc.simcloud.services.nova.flavors import FLAVORS, Flavors
from obsvc.simcloud.services.nova.life import STATE, TASK, TYPE, ServerLife
from obsvc.simcloud.services.nova.microversions import NEWEST, fields_of, microversion
from obsvc.simcloud.world import Resource

#: Action → (states it may begin from, course).
_ACTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "os-stop": (("active", "error"), "stop"),
    "os-start": (("stopped",), "start"),
    "pause": (("active",), "pause"),
    "unpause": (("paused",), "unpause"),
    "suspend": (("active",), "suspend"),
    "resume": (("suspended",), "resume"),
    "reboot": (("active", "stopped", "paused", "suspended", "error"), "reboot_soft"),
    "resize": (("active", "stopped"), "resize"),
    "confirmResize": (("resized",), "confirm"),
    "lock": (("active", "stopped", "paused", "suspended", "resized", "error", "building"), "lock"),
    "unlock": (("active", "stopped", "paused", "suspended", "resized", "error", "building"), "unlock"),
}


class Compute:
    """Servers and flavors; tells the other services which ports and volumes servers use."""

    def __init__(self, cloud: Cloud, network: Network, images: Images, volumes: Volumes) -> None:
        self.cloud = cloud
        self.network = network
        self.images = images
        self.volumes = volumes
        self.life = ServerLife(cloud)

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        app.add_route("/compute", self, suffix="versions")
        app.add_route("/compute/v2.1", self, suffix="version")
        app.add_route("/compute/v2.1/servers", self, suffix="servers")
        app.add_route("/compute/v2.1/servers/detail", self, suffix="detail")
        app.add_route("/compute/v2.1/servers/{id}", self, suffix="server")
        app.add_route("/compute/v2.1/servers/{id}/action", self, suffix="action")
        app.add_route("/compute/v2.1/servers/{id}/metadata", self, suffix="metadata")
        Flavors().add_routes(app)

    # discovery

    def _version(self, req: falcon.Request) -> dict[str, Any]:
        return {"id": "v2.1", "status": "CURRENT", "version": f"2.{NEWEST}", "min_version": "2.1",
                "updated": "2013-07-23T11:33:21Z",
                "links": [{"rel": "self", "href": f"{req.prefix}/compute/v2.1/"}]}

    def on_get_versions(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"versions": [self._version(req)]}

    def on_get_version(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"version": self._version(req)}

    # servers: read

    def _found(self, server_id: str, actor: Actor) -> tuple[Resource, Mapping[str, Any]]:
        found = self.cloud.world.shown(TYPE, server_id)
        if found is None or not visible(found[0], actor):
            raise faults.nova(404, f"Instance {server_id} could not be found.")
        return found

    def _shown(self, server: Resource, body: Mapping[str, Any], req: falcon.Request) -> dict[str, Any]:
        minor = microversion(req)
        if server.hidden.get("replayed"):
            return dict(body)
        shown = fields_of(body, minor)
        if minor < 47:
            flavor_id = server.hidden["flavor"].id
            shown["flavor"] = {"id": flavor_id, "links": [
                {"rel": "bookmark", "href": f"{req.prefix}/compute/flavors/{flavor_id}"}]}
        return shown

    def on_get_server(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        resp.media = {"server": self._shown(*self._found(id, req.context.actor), req)}

    def on_get_detail(self, req: falcon.Request, resp: falcon.Response) -> None:
        listed = [self._shown(server, body, req) for server, body in self._listed(req)]
        resp.media = {"servers": listed, **next_links(req, "servers")}

    def on_get_servers(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"servers": [{"id": body["id"], "name": body["name"], "links": body["links"]}
                                  for _, body in self._listed(req)]}

    def _listed(self, req: falcon.Request) -> list[tuple[Resource, Mapping[str, Any]]]:
        actor: Actor = req.context.actor
        everyone = "admin" in actor.roles and (req.get_param("all_tenants") or "0").lower() not in ("0", "false")
        since = req.get_param("changes-since")
        found: dict[str, tuple[Resource, Mapping[str, Any]]] = {}
        for server, body in self.cloud.world.listed(TYPE):
            if everyone or server.project_id == actor.project_id:
                found[server.id] = (server, body)
        if since:
            found |= self._deleted(actor, everyone=everyone)
        chosen = [
            (server, body) for server, body in found.values()
            if (not since or body["updated"] >= since[:19]) and req.get_param("name", default="") in body["name"]
            and req.get_param("status", default=body["status"]).upper() == body["status"]
        ]
        chosen.sort(key=lambda pair: pair[1]["created"], reverse=True)
        by_id = {server.id: (server, body) for server, body in chosen}
        return [by_id[body["id"]] for body in page([body for _, body in chosen], req)]

    def _deleted(self, actor: Actor, *, everyone: bool) -> dict[str, tuple[Resource, Mapping[str, Any]]]:
        """Deleted servers, which ``changes-since`` lists too."""
        return {resource.id: (resource, {
                    **resource.body, "status": "DELETED", "updated": iso(resource.revisions[-1].time)})
                for resource in self.cloud.world.everything()
                if resource.type == TYPE and resource.gone and resource.seen(self.cloud.now) is None
                and (everyone or resource.project_id == actor.project_id)}

    # servers: create

    def on_post_servers(self, req: falcon.Request, resp: falcon.Response) -> None:
        actor: Actor = req.context.actor
        asked = read_json(req, "server")
        world = self.cloud.world
        wanted = new_server.checked(asked, world)
        server_id = str(uuid.uuid4())
        body = new_server.body(wanted, server_id, actor, req.prefix, self.cloud.now)
        with world.lock:
            server = world.add(TYPE, body, project_id=actor.project_id)
            server.hidden |= {
                "flavor": wanted.flavor, "image_id": wanted.image_id,
                "image_name": self.images.name_of(wanted.image_id), "networks": wanted.networks}
            fails = world.draw_failure(wanted.name)
            self.life.run(server, "create_failed" if fails else "create", actor,
                          on_saved=lambda state: self._building(server, state, actor))
        resp.status = falcon.HTTP_202
        resp.set_header("Location", f"{req.prefix}/compute/v2.1/servers/{server_id}")
        resp.media = {"server": {"id": server_id, "links": body["links"], "OS-DCF:diskConfig": "MANUAL",
                                 "security_groups": [{"name": "default"}], "adminPass": uuid.uuid4().hex[:12]}}

    def _building(self, server: Resource, state: str, actor: Actor) -> None:
        """Ports are taken when nova does its networking; a failed build explains itself."""
        if state == "error":
            fault = {"code": 500, "created": iso(self.cloud.now), "message": "No valid host was found. "}
            self.cloud.world.change(server, {"fault": fault})
        elif state == "active":
            addresses = self.network.plug(server, server.hidden["networks"], actor)
            self.cloud.world.change(server, {"addresses": addresses})
            self.volumes.attach(server, actor)

    def _leaving(self, server: Resource, state: str, actor: Actor, *, notify: bool = True) -> None:
        """Ports and volumes are given back when the server is deleted."""
        if state == "deleted":
            self.network.unplug(server, actor, notify=notify)
            self.volumes.detach(server, actor, notify=notify)

    # servers: change

    def _settled(self, server_id: str, actor: Actor, verb: str) -> Resource:
        """The server, when no task is under way; 409 otherwise.  Call with the world's lock held."""
        server, _ = self._found(server_id, actor)
        if server.gone:
            raise faults.nova(404, f"Instance {server_id} could not be found.")
        task = server.body[TASK]
        if task is not None:
            raise faults.nova(409, f"Cannot '{verb}' instance {server_id} while it is in task_state {task}")
        return server

    def on_put_server(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        asked = read_json(req, "server")
        actor: Actor = req.context.actor
        with self.cloud.world.lock:
            server, _ = self._found(id, actor)
            server.hidden["old_name"] = server.body["name"]
            allowed: Mapping[str, Any] = {
                key: asked[key] for key in ("name", "description", "accessIPv4", "accessIPv6") if key in asked}
            self._changed(server, allowed, actor)
            resp.media = {"server": self._shown(server, server.body, req)}

    def on_post_metadata(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        asked = read_json(req, "metadata")
        actor: Actor = req.context.actor
        with self.cloud.world.lock:
            server, _ = self._found(id, actor)
            self._changed(server, {"metadata": {**server.body["metadata"], **asked}}, actor)
            resp.media = {"metadata": server.body["metadata"]}

    def _changed(self, server: Resource, updates: Mapping[str, Any], actor: Actor) -> None:
        """A change outside of any course: saved at once and emitted in both families; what is under way continues."""
        self.cloud.world.change(server, {**updates, "updated": iso(self.cloud.now)})
        if not server.gone and server.body[TASK] is None and server.body[STATE] != "building":
            self.life.run(server, "change", actor)

    def on_post_action(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        try:
            asked = json.loads(req.bounded_stream.read() or b"null")
            (action, options), = asked.items()
        except (ValueError, AttributeError) as error:
            raise faults.nova(400, "Invalid input: the body has to name one action.") from error
        if action not in _ACTIONS:
            raise faults.nova(400, f"There is no such action: {action}")
        actor: Actor = req.context.actor
        allowed, course = _ACTIONS[action]
        with self.cloud.world.lock:
            server = self._settled(id, actor, action)
            state = server.body[STATE]
            if state not in allowed:
                raise faults.nova(409, f"Cannot '{action}' instance {id} while it is in vm_state {state}")
            course, on_saved = self._prepared(server, action, options, course)
            self.life.run(server, course, actor, on_saved=on_saved)
        resp.status = falcon.HTTP_202

    def _prepared(
        self, server: Resource, action: str, options: Any, course: str
    ) -> tuple[str, Callable[[str], None] | None]:
        """The course, and what follows its saves."""
        if action == "reboot" and isinstance(options, dict) and options.get("type") == "HARD":
            return "reboot_hard", None
        if action in ("lock", "unlock"):
            self.cloud.world.change(server, {"locked": action == "lock"})
        if action == "resize":
            flavor = FLAVORS.get(str((options or {}).get("flavorRef")))
            if flavor is None or flavor == server.hidden["flavor"]:
                raise faults.nova(400, "When resizing, instances must change flavor!")
            server.hidden["new_flavor"] = flavor
            return course, lambda state: self._resized(server, state)
        return course, None

    def _resized(self, server: Resource, state: str) -> None:
        if state == "resized":
            server.hidden["flavor"] = server.hidden["new_flavor"]
            self.cloud.world.change(server, {"flavor": server.hidden["flavor"].embedded()})

    def on_delete_server(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        actor: Actor = req.context.actor
        resp.status = falcon.HTTP_204
        with self.cloud.world.lock:
            server, _ = self._found(id, actor)
            if server.gone or server.body[TASK] == "deleting":
                return
            self.cloud.world.change(server, {TASK: "deleting"})
            placed = server.body["OS-EXT-SRV-ATTR:host"] is not None
            self.life.run(server, "delete" if placed else "delete_unplaced", actor,
                          on_saved=lambda state: self._leaving(server, state, actor))

    # out-of-band changes

    def behind_delete(self, server: Resource, actor: Actor, *, notify: bool = True) -> None:
        """The server goes at once (``notify``: all the messages of a deletion go out at once, too)."""
        if notify:
            self.life.run(server, "delete", actor, seconds=0.0,
                          on_saved=lambda state: self._leaving(server, state, actor))
            return
        self._leaving(server, "deleted", actor, notify=False)
        self.cloud.world.remove(server)

    def behind_change(self, server: Resource, updates: dict[str, Any], actor: Actor, *, notify: bool = True) -> None:
        """Fields change at once; ``status`` follows where ``OS-EXT-STS:vm_state`` is given."""
        if STATE in updates:
            updates = {"status": server_status(updates[STATE], updates.get(TASK)), **updates}
        if "metadata" in updates:
            updates = {**updates, "metadata": {**server.body["metadata"], **updates["metadata"]}}
        self.cloud.world.begin(server)
        self.cloud.world.change(server, {**updates, "updated": iso(self.cloud.now)})
        if notify:
            self.life.run(server, "change", actor, seconds=0.0)
