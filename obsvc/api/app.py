"""The public API: its routes as one falcon application, and the process that serves it under gunicorn.

Every error is answered in the one shape of ``obsvc.web.errors``; a foreign resource answers as a missing one.
"""
from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any
from wsgiref.types import WSGIApplication

import falcon
from oslo_config import cfg

import obsvc
from obsvc.api import routes
from obsvc.api.access import auth
from obsvc.api.access.guard import Guard
from obsvc.api.access.limits import Limits
from obsvc.api.access.policy import Policy
from obsvc.api.caller import Caller
from obsvc.api.context import Api
from obsvc.api.ring import Ring
from obsvc.engine_client.contract import Empty
from obsvc.exceptions import ObsvcError
from obsvc.process import file_limits
from obsvc.web import request_ids
from obsvc.web.basic_auth import BasicAuth
from obsvc.web.errors import add_error_handlers
from obsvc.web.health import add_health_routes
from obsvc.web.serving import long_poll_slots, serve
from obsvc.web.sockets import check_bind

LOG = logging.getLogger(__name__)

#: Threads in addition to those for requests that wait.
RESERVE = 16

#: Open files of a process for one thread that waits (its client's connection and its own to the engine), and for all
#: else: kept connections, logs, libraries.
FILES_EACH, FILES_MORE = 2, 1200


def make_app(
    api: Api, policy: Policy, identify: Callable[[dict[str, Any]], Caller] = auth.operator, *,
    limits: Limits | None = None,
) -> falcon.App[falcon.Request, falcon.Response]:
    """The API as a WSGI application.  identify: who asks, from the WSGI environment."""
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App(middleware=[
        request_ids.RequestIds(), auth.Identify(identify), limits or Limits(), Guard(policy, routes.ROUTES)])
    app.req_options.auto_parse_qs_csv = False
    app.req_options.strip_url_path_trailing_slash = True
    routes.add_routes(app, api)
    add_health_routes(app, lambda: engine_reached(api))
    add_error_handlers(app)
    return app


def engine_reached(api: Api) -> str | None:
    """None when an engine answers, else why not."""
    try:
        api.engine.info(Empty())
    except ObsvcError as error:
        return str(error)
    return None


def ring_from_conf(conf: cfg.ConfigOpts) -> Ring:
    """The ring over the members that the coordination backend names."""
    from obsvc.partitioning.assignment import assign
    from obsvc.partitioning.backend import read_members

    group = conf.coordination
    return Ring(
        lambda: read_members(group.backend_urls, group.group, lease=group.lease),
        assign,
    )


def threads_from_conf(conf: cfg.ConfigOpts) -> int:
    """Threads of one process: one for each request that may wait, and RESERVE for the others, such as /healthz."""
    most: int = conf.api.max_waiters
    threads: int = conf.api.threads
    return most + RESERVE if most else threads


def limits_from_conf(conf: cfg.ConfigOpts) -> Limits:
    """The limits for one project and for all together."""
    return Limits(
        max_waiters=conf.api.max_waiters or long_poll_slots(conf.api.threads),
        waiters_per_project=conf.api.waiters_per_project, rate=conf.api.requests_per_second,
        burst=conf.api.requests_burst,
    )


def from_conf(conf: cfg.ConfigOpts, made: list[Api] | None = None) -> WSGIApplication:
    """The configured application behind its authentication; to be called in each process.

    made: receives the ``Api`` of the application, for the caller to stop.
    """
    from obsvc import catalog, engine_client

    user_agent = f"obsvc/{obsvc.__version__} (api {conf.host or 'local'})"
    known = catalog.load(conf.catalog.folders)
    policy = Policy(conf)
    api = Api(
        engine=engine_client.from_conf(conf, user_agent), ring=ring_from_conf(conf),
        max_wait=conf.api.max_wait, max_watch=conf.api.max_watch, region=conf.api.default_region,
        types=frozenset(known.types), catalog=known,
    )
    if made is not None:
        made.append(api)
    if conf.api.auth_strategy == "keystone":
        from obsvc.api.access.keystone import behind_keystone

        return behind_keystone(make_app(api, policy, auth.keystone, limits=limits_from_conf(conf)), conf)
    app = make_app(api, policy, limits=limits_from_conf(conf))
    if conf.api.auth_strategy == "http_basic":
        return BasicAuth(app, conf.api.http_basic_auth_user_file, open_paths=routes.OPEN)
    return app


def run(conf: cfg.ConfigOpts) -> int:
    """Serve until told to end.  Raises ConfigError before the first request for what can't be used."""
    from obsvc.partitioning.backend import check_urls

    check_bind(conf.api.auth_strategy, conf.api.bind_host)
    check_urls(conf.coordination.backend_urls)
    threads = threads_from_conf(conf)
    file_limits.raise_nofile_limit(
        threads * FILES_EACH + FILES_MORE, what=f"[api] max_waiters, threads: {threads} threads"
    )
    from_conf(conf)  # made once and dropped, so that unusable settings are reported before gunicorn forks
    made: list[Api] = []

    def stop() -> None:
        """End every wait, on a thread: the signal handler must not take locks."""
        for api in made:
            threading.Thread(target=api.stop, name="stop", daemon=True).start()

    serve(
        lambda: from_conf(conf, made), host=conf.api.bind_host, port=conf.api.bind_port,
        processes=conf.api.processes, threads=threads,
        on_ready=lambda port: LOG.info("the API listens on http://%s:%d", conf.api.bind_host, port),
        on_stop=stop,
    )
    return 0
