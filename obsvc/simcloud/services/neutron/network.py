"""The Network API of the simulated cloud, in neutron's paths and shapes.

Networks, subnets, ports, security groups; what is special about routers and floating IPs is in ``routing``.
"""
from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import falcon

from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud, iso, next_links, page, read_body, read_json, visible
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.neutron import bodies, routing
from obsvc.simcloud.services.neutron.bodies import UNCHANGEABLE, addresses_left, common_fields, refuse
from obsvc.simcloud.world import Resource, World

_MAKERS = {**bodies.MAKERS, routing.ROUTER: routing.make_router,
           routing.FLOATING_IP: routing.make_floating_ip}


#: Query parameters of a list that are no filters.
_NO_FILTERS = ("limit", "marker", "fields", "sort_key", "sort_dir", "page_reverse", "changed_since")


class Network:
    """All of the Network API, and what nova asks of it (:meth:`plug`, :meth:`unplug`)."""

    #: Resource type → (name in bodies and events, collection).
    types = {
        "network.network": ("network", "networks"),
        "network.subnet": ("subnet", "subnets"),
        "network.port": ("port", "ports"),
        "network.security_group": ("security_group", "security-groups"),
        "network.router": ("router", "routers"),
        "network.floating_ip": ("floatingip", "floatingips"),
    }

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def add_routes(self, app: falcon.App[falcon.Request, falcon.Response]) -> None:
        app.add_route("/network", self, suffix="versions")
        app.add_route("/network/v2.0", self, suffix="version")
        app.add_route("/network/v2.0/extensions", self, suffix="extensions")
        for resource_type, (name, collection) in self.types.items():
            part = _Collection(self, resource_type, name)
            app.add_route(f"/network/v2.0/{collection}", part, suffix="all")
            app.add_route(f"/network/v2.0/{collection}/{{id}}", part, suffix="one")
            if resource_type == routing.ROUTER:
                app.add_route("/network/v2.0/routers/{id}/{verb}_router_interface", part, suffix="interface")

    def _version(self, req: falcon.Request) -> dict[str, Any]:
        return {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{req.prefix}/network/v2.0/"}]}

    def on_get_versions(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"versions": [self._version(req)]}

    def on_get_version(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"version": self._version(req), "resources": []}

    def on_get_extensions(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"extensions": []}

    # operations; all with the world's lock held

    def create(self, resource_type: str, asked: Mapping[str, Any], actor: Actor) -> Resource:
        """Make one, with neutron's pair of notifications.  Raises Fault."""
        name, _ = self.types[resource_type]
        world = self.cloud.world
        project_id = str(asked.get("project_id") or asked.get("tenant_id") or actor.project_id)
        common = common_fields(world, asked, project_id)
        if resource_type == routing.FLOATING_IP:
            del common["name"]
        body = {**common, **_MAKERS[resource_type](world, asked, common)}
        self.tell(f"{name}.create.start", {name: dict(asked)}, actor, body["id"])
        resource = world.add(resource_type, body, project_id=project_id)
        if resource_type == "network.subnet":
            self._list_subnets(body["network_id"])
        self.tell(f"{name}.create.end", {name: body}, actor, resource.id)
        routing.follow(world, resource)
        return resource

    def update(self, resource: Resource, updates: Mapping[str, Any], actor: Actor, *, notify: bool = True,
               asked: Mapping[str, Any] | None = None) -> None:
        """Change one, with the pair of notifications.  asked: what led to the updates, where that is not the same."""
        name, _ = self.types[resource.type]
        if notify:
            self.tell(f"{name}.update.start", {name: dict(asked or updates), "id": resource.id}, actor, resource.id)
        self.cloud.world.change(resource, {**updates, "updated_at": iso(self.cloud.now),
                                           "revision_number": resource.body["revision_number"] + 1})
        if notify:
            self.tell(f"{name}.update.end", {name: resource.body}, actor, resource.id)
        routing.follow(self.cloud.world, resource)

    def delete(self, resource: Resource, actor: Actor, *, notify: bool = True, force: bool = False) -> None:
        """Delete one.  Raises Fault (409) while it is in use, unless forced."""
        name, _ = self.types[resource.type]
        if not force:
            self._check_unused(resource)
        body = resource.body
        if notify:
            self.tell(f"{name}.delete.start", {f"{name}_id": resource.id}, actor, resource.id)
        self.cloud.world.remove(resource)
        routing.removed(self.cloud.world, resource)
        if resource.type == "network.subnet":
            self._list_subnets(body["network_id"])
        if notify:
            self.tell(f"{name}.delete.end", {name: body, f"{name}_id": resource.id}, actor, resource.id)

    def tell(self, event_type: str, payload: Mapping[str, Any], actor: Actor, resource_id: str) -> None:
        self.cloud.notify("neutron", "network.api-1", event_type, payload, actor=actor, resource_id=resource_id)

    def _list_subnets(self, network_id: str) -> None:
        network = self.cloud.world.get("network.network", network_id)
        if network is not None:
            subnets = [subnet.id for subnet in self.cloud.world.live("network.subnet")
                       if subnet.body["network_id"] == network_id]
            self.cloud.world.change(network, {"subnets": subnets})

    def _check_unused(self, resource: Resource) -> None:
        routing.check_unused(self.cloud.world, resource)
        ports = [held.body for held in self.cloud.world.live("network.port")]
        if resource.type == "network.network" and any(port["network_id"] == resource.id for port in ports):
            raise refuse(409, "NetworkInUse", f"Unable to complete operation on network {resource.id}. There are one "
                                              "or more ports still in use on the network.")
        if resource.type == "network.network":
            for subnet in self.cloud.world.live("network.subnet"):
                if subnet.body["network_id"] == resource.id:
                    raise refuse(409, "NetworkInUse", f"Unable to complete operation on network {resource.id}. "
                                                      "There are one or more subnets still in use on the network.")
        if resource.type == "network.subnet" and any(
                fixed["subnet_id"] == resource.id for port in ports for fixed in port["fixed_ips"]):
            raise refuse(409, "SubnetInUse", f"Unable to complete operation on subnet {resource.id}: One or more "
                                             "ports have an IP allocation from this subnet.")
        if resource.type == "network.security_group" and any(resource.id in port["security_groups"] for port in ports):
            raise refuse(409, "SecurityGroupInUse", f"Security Group {resource.id} in use.")

    # for nova

    def plug(self, server: Resource, networks: list[Mapping[str, Any]], actor: Actor) -> dict[str, Any]:
        """Bind the given ports to a server, and make ports on the given networks; the server's ``addresses``."""
        addresses: dict[str, list[dict[str, Any]]] = {}
        binding = {"device_id": server.id, "device_owner": "compute:nova", "status": "ACTIVE",
                   "binding:host_id": server.body["OS-EXT-SRV-ATTR:host"] or "", "binding:vif_type": "ovs"}
        for asked in networks:
            port = self.cloud.world.get("network.port", str(asked.get("port") or ""))
            if port is None and self.cloud.world.get("network.network", str(asked.get("uuid") or "")) is not None:
                wanted = [{"ip_address": asked["fixed_ip"]}] if asked.get("fixed_ip") else None
                port = self.create("network.port", {"network_id": asked["uuid"], "fixed_ips": wanted}, actor)
                server.hidden.setdefault("own_ports", []).append(port.id)
            if port is None:
                continue
            self.update(port, binding, actor)
            network = self.cloud.world.get("network.network", port.body["network_id"])
            label = network.body["name"] if network is not None else "gone"
            for fixed in port.body["fixed_ips"]:
                addresses.setdefault(label, []).append({
                    "version": ipaddress.ip_address(fixed["ip_address"]).version, "addr": fixed["ip_address"],
                    "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": port.body["mac_address"]})
        server.hidden["fixed_ips"] = [{"address": address["addr"], "label": label, "version": address["version"],
                                       "vif_mac": address["OS-EXT-IPS-MAC:mac_addr"]}
                                      for label, found in addresses.items() for address in found]
        return addresses

    def unplug(self, server: Resource, actor: Actor, *, notify: bool = True) -> None:
        """Give back a server's ports: those that nova made are deleted."""
        own = server.hidden.get("own_ports", [])
        for port in self.cloud.world.live("network.port"):
            if port.body["device_id"] != server.id:
                continue
            if port.id in own:
                self.delete(port, actor, notify=notify)
            else:
                self.update(port, {"device_id": "", "device_owner": "", "status": "DOWN", "binding:host_id": "",
                                   "binding:vif_type": "unbound"}, actor, notify=notify)

    # out-of-band changes

    def behind_delete(self, resource: Resource, actor: Actor, *, notify: bool = True) -> None:
        self.delete(resource, actor, notify=notify, force=True)

    def behind_change(self, resource: Resource, updates: dict[str, Any], actor: Actor, *, notify: bool = True) -> None:
        self.update(resource, updates, actor, notify=notify)


class _Collection:
    """The paths of one type."""

    def __init__(self, network: Network, resource_type: str, name: str) -> None:
        self._network = network
        self._world = network.cloud.world
        self._type = resource_type
        self._name = name
        self._plural = f"{name}s"

    def _found(self, resource_id: str, actor: Actor) -> tuple[Resource, Mapping[str, Any]]:
        found = self._world.shown(self._type, resource_id)
        if found is None or not visible(found[0], actor):
            kind = "FloatingIP" if self._name == "floatingip" else self._name.title().replace("_", "")
            raise refuse(404, f"{kind}NotFound", f"{kind} {resource_id} could not be found.")
        return found

    def on_get_all(self, req: falcon.Request, resp: falcon.Response) -> None:
        wanted = {key: req.get_param_as_list(key) or [] for key in req.params if key not in _NO_FILTERS}
        since = (req.get_param("changed_since") or "")[:19]
        ids = wanted.pop("id", None)
        revisions: dict[str, int] = {}
        listed = self._world.listed(self._type) if ids is None else self._by_ids(ids, revisions)
        found = [body for resource, body in listed
                 if visible(resource, req.context.actor) and body["updated_at"] >= since
                 and all(_text(body[key]) in values for key, values in wanted.items() if key in body)]
        shown = page(found, req)
        req.context.listed = [(body["id"], revisions[body["id"]]) for body in shown if ids is not None]
        resp.media = {self._plural: shown, **next_links(req, self._plural)}

    def _by_ids(self, ids: list[str], revisions: dict[str, int]) -> list[tuple[Resource, Mapping[str, Any]]]:
        """Those of ``ids`` that the API shows; ``revisions`` gets the number of what each was shown as."""
        down = self._network.cloud.panel.now.down_resources
        found = []
        for resource_id in dict.fromkeys(ids):
            if resource_id in down:
                raise faults.down(f"resource {resource_id}")
            shown = self._world.shown(self._type, resource_id)
            number = self._world.last_shown(resource_id)
            if shown is not None and number is not None:
                revisions[resource_id] = number
                found.append(shown)
        return found

    def on_post_all(self, req: falcon.Request, resp: falcon.Response) -> None:
        asked = read_json(req, self._name, _bad_request)
        with self._world.lock:
            resource = self._network.create(self._type, asked, req.context.actor)
            resp.media = {self._name: resource.body}
        resp.status = falcon.HTTP_201

    def on_get_one(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        resp.media = {self._name: self._found(id, req.context.actor)[1]}

    def on_put_one(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        asked = read_json(req, self._name, _bad_request)
        with self._world.lock:
            resource, _ = self._found(id, req.context.actor)
            if resource.gone:
                raise refuse(404, "NotFound", f"{id} could not be found.")
            fixed = sorted(UNCHANGEABLE[self._type].intersection(asked))
            if fixed:
                raise refuse(400, "HTTPBadRequest", f"Cannot update read-only attribute {fixed[0]}")
            self._network.update(resource, _changed(self._world, resource, asked), req.context.actor, asked=asked)
            resp.media = {self._name: resource.body}

    def on_delete_one(self, req: falcon.Request, resp: falcon.Response, id: str) -> None:
        with self._world.lock:
            resource, _ = self._found(id, req.context.actor)
            if not resource.gone:
                self._network.delete(resource, req.context.actor)
        resp.status = falcon.HTTP_204

    # only routers

    def on_put_interface(self, req: falcon.Request, resp: falcon.Response, id: str, verb: str) -> None:
        """``add_router_interface`` and ``remove_router_interface``: one notification, without a phase."""
        operations = {"add": (routing.add_interface, "create"), "remove": (routing.remove_interface, "delete")}
        if verb not in operations:
            raise _bad_request(400, f"There is no {verb}_router_interface.")
        operate, event = operations[verb]
        with self._world.lock:
            router, _ = self._found(id, req.context.actor)
            info = operate(self._world, router, read_body(req, _bad_request))
            self._network.tell(f"router.interface.{event}", {"router_interface": info}, req.context.actor, router.id)
        resp.media = info


def _changed(world: World, resource: Resource, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that change by what was asked of a PUT.  Raises Fault."""
    if resource.type == routing.ROUTER:
        return routing.change_router(world, resource, asked)
    if resource.type == routing.FLOATING_IP:
        return routing.change_floating_ip(world, resource, asked)
    if asked.get("fixed_ips"):
        network_id = resource.body["network_id"]
        return {**asked, "fixed_ips": addresses_left(world, network_id, asked["fixed_ips"], but=resource)}
    return dict(asked)


def _bad_request(status: int, message: str) -> faults.Fault:
    return refuse(status, "HTTPBadRequest", message)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
