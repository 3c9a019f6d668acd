"""A Keystone token for a person at a terminal: from ``OS_*`` variables or clouds.yaml, as every OpenStack client."""
from __future__ import annotations

import os
from collections.abc import Mapping

from obsvc.exceptions import ConfigError


def available(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment names a cloud or a Keystone."""
    return bool(environ.get("OS_CLOUD") or environ.get("OS_AUTH_URL"))


def from_environment() -> str:
    """A new token; raises ConfigError when the environment's credentials get none."""
    import openstack.config
    from keystoneauth1 import exceptions as ks_exceptions
    from openstack import exceptions as sdk_exceptions

    try:
        token = openstack.config.OpenStackConfig().get_one().get_session().get_token()
    except (ks_exceptions.ClientException, sdk_exceptions.SDKException, ValueError) as error:
        raise ConfigError(f"no token from Keystone with OS_CLOUD or OS_AUTH_URL of the environment: {error}") from error
    if token is None:
        raise ConfigError("expected credentials for Keystone in the environment, found some that have no token")
    return token
