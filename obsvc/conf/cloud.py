"""How the cloud's APIs are reached (keystoneauth)."""
from keystoneauth1 import loading
from oslo_config import cfg

from obsvc.conf.groups import OptionGroups

GROUP = "cloud"

OPTIONS = [
    cfg.StrOpt("os_cloud",
               help="Name of a cloud in clouds.yaml; if set, it takes precedence over the auth options below."),
    cfg.StrOpt("interface", default="internal", choices=["public", "internal", "admin"],
               help="Which endpoint of a service is used."),
    cfg.FloatOpt("request_timeout", default=30.0, min=0.1, help="Seconds to wait for a service's answer."),
    cfg.FloatOpt("requests_per_second", default=150.0, min=0.1,
                 help="Request budget of all observers together for each (region, service); fetches beyond it wait. "
                      "Each observer takes an equal share: this value divided by the number of members that it sees "
                      "alive. 150: three observers with 50 each, a small part of what one API node answers."),
    cfg.IntOpt("breaker_failures", default=5, min=1,
               help="Failures in a row, of different resources, after which a service is left alone for "
                    "breaker_pause."),
    cfg.FloatOpt("breaker_pause", default=5.0, min=0.1,
                 help="Seconds until a single request tests whether a service is back; doubles up to "
                      "breaker_pause_max."),
    cfg.FloatOpt("breaker_pause_max", default=60.0, min=0.1, help="Longest pause of the breaker, seconds."),
]


def register(conf: cfg.ConfigOpts) -> None:
    """Add keystoneauth's own options (auth_type, auth_url, cafile …) to the group."""
    loading.register_auth_conf_options(conf, GROUP)
    loading.register_session_conf_options(conf, GROUP)


def list_opts() -> OptionGroups:
    return [(GROUP, OPTIONS)]


def sample_opts() -> OptionGroups:
    """For the generated sample only: keystoneauth registers these itself (see :func:`register`)."""
    plugins = loading.get_auth_common_conf_options() + loading.get_auth_plugin_conf_options("password")
    return [(GROUP, [*plugins, *loading.get_session_conf_options()])]
