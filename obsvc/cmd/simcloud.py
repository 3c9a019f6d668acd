"""``obsvc simcloud``: the simulated cloud as a process of its own, for the demo, the tests and the benchmarks."""
from __future__ import annotations

import argparse

from cliff.command import Command

from obsvc.exceptions import ConfigError, InvalidInput
from obsvc.simcloud.cloud import Settings
from obsvc.simcloud.dials import SERVICES, Dials, checked, parse_build_time, turned
from obsvc.simcloud.server import THREADS, Serving, serve


class Simcloud(Command):
    """Run a simulated OpenStack cloud: Keystone, Nova, Neutron, Cinder, Glance, and Sim::Resource.

    Everything is in memory. It prints its address when it serves, and ends on SIGTERM. Every dial can also be turned
    while it runs: PUT /sim/v1/dials with a JSON object of the dials to turn (see docs/simcloud.md).
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
        parser.add_argument("--bus", metavar="URL",
                            help="kombu URL to publish notifications on: amqp://… or filesystem:///FOLDER "
                                 "(default: nothing is published)")
        parser.add_argument("--region", action="append", metavar="NAME", dest="regions",
                            help="region in the catalogue; may be repeated (default: RegionOne)")
        parser.add_argument("--password", default=Settings.password,
                            help="the password of every user (default: %(default)s)")
        parser.add_argument("--token-seconds", type=float, default=Settings.token_seconds, metavar="SECONDS",
                            help="how long a token is good for (default: %(default)s)")
        parser.add_argument("--seed", type=int, help="of what is drawn: build times, failures, losses")
        parser.add_argument("--threads", type=int, default=THREADS, help="requests served at once "
                                                                         "(default: %(default)s)")
        self._add_dials(parser.add_argument_group("dials (also PUT /sim/v1/dials)"))
        return parser

    @staticmethod
    def _add_dials(group: argparse._ArgumentGroup) -> None:
        group.add_argument("--build-time", default="2", metavar="TIME",
                           help="SECONDS, uniform:LEAST,MOST or lognormal:MEDIAN,SIGMA[,MOST] (default: %(default)s)")
        group.add_argument("--build-time-of", action="append", default=[], metavar="TYPE=TIME",
                           help="for one resource type, such as compute.server=uniform:1,4; may be repeated")
        for name, (kind, metavar, text) in _PLAIN_DIALS.items():
            group.add_argument(f"--{name.replace('_', '-')}", type=kind, default=getattr(Dials(), name),
                               metavar=metavar, help=f"{text} (default: %(default)s)")
        group.add_argument("--failed-name", action="append", default=[], metavar="NAME", dest="failed_names",
                           help="builds of resources so named fail; may be repeated")
        group.add_argument("--held-name", action="append", default=[], metavar="NAME", dest="held_names",
                           help="what sim resources so named begin does not end; may be repeated")
        group.add_argument("--silent", action="append", default=[], metavar="EXCHANGE", dest="silent_exchanges",
                           help="loses every notification on this exchange (nova, neutron, openstack, glance, "
                                "keystone, sim); may be repeated. All of them: --lost-share 1")
        group.add_argument("--down", action="append", default=[], metavar="SERVICE_OR_ID",
                           help=f"answers 503: {', '.join(SERVICES)}, or a resource's id; may be repeated")
        group.add_argument("--throttled", action="append", default=[], metavar="SERVICE", dest="throttled_services",
                           help="answers 429; may be repeated")

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        try:
            dials = dials_from(parsed_args)
        except InvalidInput as error:
            raise ConfigError(error.message) from error
        if not 0 <= parsed_args.port <= 65535:
            raise ConfigError(f"expected a port from 0 to 65535, got {parsed_args.port}")
        if parsed_args.threads < 1 or parsed_args.token_seconds <= 0:
            raise ConfigError("expected --threads of at least 1 and --token-seconds above 0")
        settings = Settings(tuple(parsed_args.regions or Settings.regions), parsed_args.password,
                            parsed_args.token_seconds, parsed_args.seed)
        serving = Serving(parsed_args.host, parsed_args.port, parsed_args.bus, parsed_args.threads)
        serve(serving, settings, dials, ready=_announce)


#: Dials that are one number each: type, metavar, help.
_PLAIN_DIALS = {
    "failed_share": (float, "SHARE", "of builds that fail"),
    "api_latency": (float, "SECONDS", "before every answer of a cloud API"),
    "api_behind": (float, "SECONDS", "by which the API shows a change later than its notification"),
    "lost_share": (float, "SHARE", "of notifications lost"),
    "duplicated_share": (float, "SHARE", "of notifications sent twice"),
    "delayed_seconds": (float, "SECONDS", "by which notifications go out late"),
    "delayed_share": (float, "SHARE", "of notifications that go out late"),
    "reordered_share": (float, "SHARE", "of notifications that later ones may overtake"),
    "reordered_seconds": (float, "SECONDS", "by which those are late at the most"),
    "throttled_share": (float, "SHARE", "of requests answered 429 (never identity's)"),
    "unavailable_share": (float, "SHARE", "of requests answered 503 (never identity's)"),
    "retry_after": (int, "SECONDS", "that a 429 says in Retry-After"),
}
_LISTS = ("failed_names", "held_names", "silent_exchanges", "throttled_services")


def dials_from(options: argparse.Namespace) -> Dials:
    """The dials that the command line sets; raises InvalidInput."""
    by_type = {}
    for option in options.build_time_of:
        resource_type, equals, text = option.partition("=")
        if not equals:
            raise InvalidInput(f"expected --build-time-of TYPE=TIME, got {option!r}")
        by_type[resource_type] = parse_build_time(text)
    dials = checked(Dials(build=parse_build_time(options.build_time), build_by_type=by_type))
    return turned(dials, {name: getattr(options, name) for name in (*_PLAIN_DIALS, *_LISTS)} | {
        "down_services": [name for name in options.down if name in SERVICES],
        "down_resources": [name for name in options.down if name not in SERVICES]})


def _announce(url: str) -> None:
    print(f"simulated cloud: {url} (auth_url {url}/identity/v3)", flush=True)
