"""Nova's microversions: which one a request asks for, and which fields of a server each has."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from obsvc.simcloud import faults

#: Microversion from which each field is in a server's body (nova's API microversion history).
_SINCE = {"description": 19, "tags": 26, "locked": 9, "host_status": 16, "trusted_image_certificates": 63,
          "server_groups": 71, "locked_reason": 73, "OS-EXT-SRV-ATTR:hostname": 3, "OS-EXT-SRV-ATTR:kernel_id": 3,
          "OS-EXT-SRV-ATTR:launch_index": 3, "OS-EXT-SRV-ATTR:ramdisk_id": 3, "OS-EXT-SRV-ATTR:reservation_id": 3,
          "OS-EXT-SRV-ATTR:root_device_name": 3, "OS-EXT-SRV-ATTR:user_data": 3}
NEWEST = 96


def microversion(req: falcon.Request) -> int:
    """The minor number asked for; 1 without a header."""
    header = req.get_header("OpenStack-API-Version") or ""
    asked = header.removeprefix("compute").strip() or (req.get_header("X-OpenStack-Nova-API-Version") or "2.1")
    if asked == "latest":
        return NEWEST
    major, _, minor = asked.partition(".")
    if major != "2" or not minor.isdigit() or not 1 <= int(minor) <= NEWEST:
        raise faults.nova(400, f"API Version String {asked} is of invalid format or not supported.")
    return int(minor)


def fields_of(body: Mapping[str, Any], minor: int) -> dict[str, Any]:
    """The fields of a server's body that microversion 2.``minor`` has."""
    return {key: value for key, value in body.items() if _SINCE.get(key, 0) <= minor}
