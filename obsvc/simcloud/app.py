"""The WSGI application of the simulated cloud: all services under one address.

One middleware does for every service what happens in front of each in a real cloud: the request id, the token, the
dials (latency, a service that is down), and the counting of calls.  Everything under ``/sim/v1`` except
``/sim/v1/resources`` controls the simulation: it needs no token, has no latency, and is not counted.
"""
from __future__ import annotations

import logging
import random
import time
import uuid
from typing import Any

import falcon

from obsvc.exceptions import ObsvcError
from obsvc.simcloud import faults
from obsvc.simcloud.cloud import Cloud
from obsvc.simcloud.control import Control
from obsvc.simcloud.services.cinder.snapshots import Snapshots
from obsvc.simcloud.services.cinder.volumes import Volumes
from obsvc.simcloud.services.identity import Identity, Tokens
from obsvc.simcloud.services.image import Images
from obsvc.simcloud.services.neutron.network import Network
from obsvc.simcloud.services.nova.servers import Compute
from obsvc.simcloud.services.plain import Plain
from obsvc.simcloud.stats import caller_of

LOG = logging.getLogger(__name__)

#: Paths that answer without a token: version documents and the token request itself.
_OPEN = {"/", "/identity", "/identity/v3", "/identity/v3/auth/tokens", "/compute", "/compute/v2.1", "/network",
         "/network/v2.0", "/volume", "/volume/v3", "/image", "/image/versions", "/image/v2", "/sim", "/sim/v1"}


def is_control(path: str) -> bool:
    """True for what steers the simulation rather than the cloud."""
    return path.startswith("/sim/v1/") and not path.startswith("/sim/v1/resources") or path == "/healthz"


class Gate:
    """The middleware; called by every request thread."""

    def __init__(self, cloud: Cloud, tokens: Tokens) -> None:
        self._cloud = cloud
        self._tokens = tokens
        self._random = random.Random(cloud.settings.seed)

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        req.context.request_id = f"req-{uuid.uuid4()}"
        req.context.template = req.path
        req.context.resource_id = None
        req.context.listed = []
        self._cloud.world.last_shown("")  # forget what this thread's previous request was shown
        token = self._tokens.get(req.get_header("X-Auth-Token"))
        req.context.caller = caller_of(req.user_agent, token.user_name if token else None)
        if is_control(req.path):
            return
        dials = self._cloud.panel.now
        if dials.api_latency:
            time.sleep(dials.api_latency)
        service = req.path.split("/", 2)[1]
        if service in dials.down_services:
            raise faults.down(service)
        if service in dials.throttled_services:
            raise faults.throttled(dials.retry_after)
        if service != "identity":
            if dials.throttled_share and self._random.random() < dials.throttled_share:
                raise faults.throttled(dials.retry_after)
            if dials.unavailable_share and self._random.random() < dials.unavailable_share:
                raise faults.down(service)
        if token is not None:
            req.context.actor = token.actor(req.context.request_id)
        elif req.path.rstrip("/") not in _OPEN and req.path != "/":
            raise faults.unauthorized()

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: dict[str, Any]
    ) -> None:
        req.context.template = req.uri_template
        resource_id = params.get("id")
        req.context.resource_id = resource_id
        if resource_id in self._cloud.panel.now.down_resources:
            raise faults.down(f"resource {resource_id}")

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: Any, ok: bool) -> None:
        context = req.context
        resp.set_header("x-openstack-request-id", context.request_id)
        if req.path.startswith("/compute"):
            resp.set_header("x-compute-request-id", context.request_id)
        if not is_control(req.path):
            resource_id = context.resource_id
            shown = self._cloud.world.last_shown(resource_id) if resource_id and req.method == "GET" else None
            # The templates of block storage exist with and without a project: one name for both.
            template = context.template.replace("/{project}", "")
            self._cloud.stats.count(context.caller, req.method, template, req.path, resp.status_code,
                                    resource_id, shown, context.request_id, context.listed)


def _answer_fault(req: falcon.Request, resp: falcon.Response, fault: faults.Fault, params: dict[str, Any]) -> None:
    resp.status = fault.status
    for name, value in fault.headers.items():
        resp.set_header(name, value)
    if isinstance(fault.body, str):
        resp.content_type = "text/html; charset=UTF-8"
        resp.text = fault.body
    else:
        resp.media = fault.body


def _answer_error(req: falcon.Request, resp: falcon.Response, error: ObsvcError, params: dict[str, Any]) -> None:
    _answer_fault(req, resp, faults.plain(error.http_status, error.message), params)


def _answer_crash(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    LOG.error("%s %s failed", req.method, req.path, exc_info=error)
    _answer_fault(req, resp, faults.nova(500, f"The simulated cloud failed: {type(error).__name__}"), params)


class Health:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = {"status": "ok"}


def make_app(cloud: Cloud) -> falcon.App[falcon.Request, falcon.Response]:
    """The whole cloud as one falcon application."""
    tokens = Tokens(cloud)
    app = falcon.App(middleware=[Gate(cloud, tokens)])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.keep_blank_qs_values = True
    app.add_error_handler(Exception, _answer_crash)
    app.add_error_handler(falcon.HTTPError, _answer_http)
    app.add_error_handler(ObsvcError, _answer_error)
    app.add_error_handler(faults.Fault, _answer_fault)
    app.add_route("/healthz", Health())
    identity = Identity(cloud, tokens)
    network = Network(cloud)
    images = Images(cloud)
    plain = Plain(cloud)
    volumes = Volumes(cloud)
    snapshots = Snapshots(cloud)
    compute = Compute(cloud, network, images, volumes)
    behind = {"compute.server": compute, volumes.type: volumes, snapshots.type: snapshots, "image.image": images,
              "sim.resource": plain, **{kind: network for kind in network.types}}
    for part in (identity, compute, network, volumes, snapshots, images, plain,
                 Control(cloud, tokens, behind)):
        part.add_routes(app)
    return app


def _answer_http(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]) -> None:
    resp.status = error.status
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)
    resp.media = {"error": {"code": resp.status_code, "title": error.title,
                            "message": error.description or f"{req.method} {req.path} is not served here."}}
