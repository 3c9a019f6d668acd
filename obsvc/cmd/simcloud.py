"""``obsvc simcloud``: the simulated cloud as a process of its own, for the demo, the tests and the benchmarks."""
from __future__ import annotations

import argparse

from cliff.command import Command

from obsvc.exceptions import ConfigError, InvalidInput
from obsvc.simcloud.cloud import Settings
from obsvc.simcloud.dials import Dials, checked, parse_build_time, turned
from obsvc.simcloud.server import THREADS, Serving, serve


class Simcloud(Command):
    """Run a simulated OpenStack cloud: Keystone, Nova, Neutron, Cinder, Glance, and Sim::Resource.

    Everything is in memory. It prints its address when it serves, and ends on SIGTERM.
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
        group.add_argument("--failed-share", type=float, default=0.0, metavar="SHARE", help="of builds that fail")
        group.add_argument("--api-latency", type=float, default=0.0, metavar="SECONDS",
                           help="before every answer of a cloud API")
        group.add_argument("--api-behind", type=float, default=0.0, metavar="SECONDS",
                           help="by which the API shows a change later than its notification")
        group.add_argument("--lost-share", type=float, default=0.0, metavar="SHARE", help="of notifications lost")
        group.add_argument("--duplicated-share", type=float, default=0.0, metavar="SHARE",
                           help="of notifications sent twice")
        group.add_argument("--delayed-seconds", type=float, default=0.0, metavar="SECONDS",
                           help="by which notifications go out late")
        group.add_argument("--delayed-share", type=float, default=1.0, metavar="SHARE", help="of them that do")
        group.add_argument("--down", action="append", default=[], metavar="SERVICE_OR_ID",
                           help="answers 503: compute, network, volume, image, identity, sim, or a resource's id; "
                                "may be repeated")

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


SERVICES = ("compute", "network", "volume", "image", "identity", "sim")


def dials_from(options: argparse.Namespace) -> Dials:
    """The dials that the command line sets; raises InvalidInput."""
    by_type = {}
    for each in options.build_time_of:
        resource_type, equals, text = each.partition("=")
        if not equals:
            raise InvalidInput(f"expected --build-time-of TYPE=TIME, got {each!r}")
        by_type[resource_type] = parse_build_time(text)
    dials = checked(Dials(build=parse_build_time(options.build_time), build_by_type=by_type))
    names = ("failed_share", "api_latency", "api_behind", "lost_share", "duplicated_share", "delayed_seconds",
             "delayed_share")
    return turned(dials, {name: getattr(options, name) for name in names} | {
        "down_services": [each for each in options.down if each in SERVICES],
        "down_resources": [each for each in options.down if each not in SERVICES]})


def _announce(url: str) -> None:
    print(f"simulated cloud: {url} (auth_url {url}/identity/v3)", flush=True)
