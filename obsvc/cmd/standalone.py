"""``obsvc standalone``: engine, observers, workers and API as one process tree, with no server of their own."""
from __future__ import annotations

import argparse
import pathlib
import threading

from oslo_config import cfg

from obsvc.cmd.base import ServiceCommand
from obsvc.exceptions import ConfigError
from obsvc.process.signals import on_termination


class Standalone(ServiceCommand):
    """Run everything on this host: SQLite, file coordination; point it at a cloud with --bus and --os-cloud.

    With --config-file instead, every option can be set; what the files say wins over what is derived here.
    """

    process = "standalone"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument("--bus", metavar="URL",
                            help="Notification bus to listen on, such as amqp://user:password@host//.")
        parser.add_argument("--os-cloud", metavar="NAME", help="Name of the cloud in clouds.yaml.")
        parser.add_argument("--state-path", metavar="FOLDER", type=pathlib.Path,
                            help="Where the database and the coordination files are. Default: [DEFAULT] state_path.")
        parser.add_argument("--observers", type=int, default=1, metavar="N", help="Observer processes (1).")
        parser.add_argument("--workers", type=int, default=1, metavar="N", help="Worker processes (1).")
        parser.add_argument("--engine-port", type=int, default=9190, metavar="PORT", help="Port of the engine (9190).")
        parser.add_argument("--api-port", type=int, default=9193, metavar="PORT", help="Port of the public API (9193).")
        parser.add_argument("--health-ports", type=int, default=9200, metavar="PORT",
                            help="First of the health ports of observers, then workers (9200).")
        return parser

    def serve(self, conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> int:
        from obsvc.cmd.supervisor import Supervisor
        from obsvc.cmd.tree import Ports, Tree

        if parsed_args.observers < 1 or parsed_args.workers < 0:
            raise ConfigError("expected --observers of at least 1 and --workers of at least 0")
        first = parsed_args.health_ports
        middle = first + parsed_args.observers
        tree = Tree(
            folder=(parsed_args.state_path or pathlib.Path(conf.state_path)).resolve(),
            ports=Ports(parsed_args.engine_port, parsed_args.api_port, tuple(range(first, middle)),
                        tuple(range(middle, middle + parsed_args.workers))),
            config_files=tuple(self.app.options.config_file),
            options=_options(conf, parsed_args),
            debug=self.app.options.debug,
        )
        tree.prepare()
        supervisor = Supervisor()
        for child in tree.children():
            supervisor.add(child)
        stop = threading.Event()
        on_termination(stop.set)
        supervisor.start()
        self.app.stderr.write(f"obsvc: the API is at {tree.api_url}; state in {tree.folder}\n")
        stop.wait()
        supervisor.stop(tree.stop_order())
        return 0


def _options(conf: cfg.ConfigOpts, parsed_args: argparse.Namespace) -> dict[str, dict[str, object]]:
    options: dict[str, dict[str, object]] = {}
    if parsed_args.bus:
        options["buses"] = {"names": "bus"}
        options["bus:bus"] = {"url": parsed_args.bus}
        options["emit"] = {"url": parsed_args.bus}
    elif not conf.buses.names:
        raise ConfigError("expected a notification bus, none is configured: give --bus URL, or name buses in "
                          "[buses] names of a --config-file")
    if parsed_args.os_cloud:
        options["cloud"] = {"os_cloud": parsed_args.os_cloud, "interface": "public"}
    elif not (conf.cloud.os_cloud or conf.cloud.auth_type):
        raise ConfigError("expected a cloud, none is configured: give --os-cloud NAME (in clouds.yaml), or set "
                          "[cloud] auth_type and its options in a --config-file")
    return options
