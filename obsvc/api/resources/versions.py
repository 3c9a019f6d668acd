"""``/`` and ``/v1``: which versions of this API there are."""
from __future__ import annotations

import falcon

import obsvc
from obsvc.api.context import Api
from obsvc.api.render import answer
from obsvc.engine_client.contract import CONTRACT_VERSION


class Versions:
    def __init__(self, api: Api) -> None:
        pass

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The version document, as OpenStack services have one."""
        links = [{"rel": "self", "href": f"{req.prefix}/v1/"},
                 {"rel": "describedby", "href": f"{req.prefix}/v1/openapi.json"}]
        answer(resp, {"name": "obsvc", "version": obsvc.__version__, "contract_version": CONTRACT_VERSION,
                      "versions": [{"id": "v1", "status": "CURRENT", "links": links}]})
