"""A server's courses of events: saves states at their moments and publishes what nova would."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from obsvc.simcloud.cloud import Cloud, iso
from obsvc.simcloud.notify import Actor
from obsvc.simcloud.services.nova import courses, payloads
from obsvc.simcloud.world import Resource

TYPE = "compute.server"
STATE, TASK, POWER = "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-STS:power_state"
HOSTS = tuple(f"compute-{number}" for number in range(1, 5))


class ServerLife:
    """Runs courses; call with the world's lock held."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def run(self, server: Resource, course_name: str, actor: Actor, *, on_saved: Callable[[str], None] | None = None,
            seconds: float | None = None) -> float:
        """Begin a course, ending the present one; its length in seconds.

        on_saved is called with the state of each step, right after it was saved or reached.
        seconds: of a build, drawn by the dials unless given.
        """
        world = self._cloud.world
        course = courses.servers()[course_name]
        length = course.takes * (world.draw_build_time(TYPE) if seconds is None else seconds)
        number = world.begin(server)
        for step in course.steps:
            first, *rest = step.messages
            world.after(first[0] * length, self._step(server, step, first, actor, on_saved), course=(server, number))
            for when, family, event_type in rest:
                tell = self._tell(server, step, family, event_type, actor)
                # Not bound to the course: once one family's message is out, the other family's follows.
                world.after(when * length, self._if_begun(server, step, tell), course=None)
        return length

    def _if_begun(self, server: Resource, step: courses.Step, tell: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            if server.hidden.get("last_step") is step:
                tell()
        return run

    def _step(self, server: Resource, step: courses.Step, first: tuple[float, str, str], actor: Actor,
              on_saved: Callable[[str], None] | None) -> Callable[[], None]:
        tell = self._tell(server, step, first[1], first[2], actor)

        def run() -> None:
            server.hidden["last_step"] = step
            server.hidden["before"] = (server.body[STATE], server.body[POWER])
            if step.kind == "update":
                self.save(server, step)
            elif step.kind == "create" and step.state == "building":
                self.place(server)
            elif step.state == "deleted":
                server.hidden["deleted_at"] = self._cloud.now
                self._cloud.world.remove(server)
            tell()
            if on_saved is not None and step.state is not None and step.kind == "update":
                on_saved(step.state)
        return run

    def _tell(self, server: Resource, step: courses.Step, family: str, event_type: str,
              actor: Actor) -> Callable[[], None]:
        def run() -> None:
            filled = self._filled(server, step)
            make = payloads.versioned if family == "versioned" else payloads.unversioned
            payload = make(step.kind, server, filled, actor, self._cloud.now)
            host = server.body["OS-EXT-SRV-ATTR:host"] or "unplaced"
            topic = "versioned_notifications" if family == "versioned" else "notifications"
            self._cloud.notify("nova", publisher(step.sender, family, step.kind, host), event_type, payload,
                               actor=actor, resource_id=server.id, priority=step.priority, topic=topic)
        return run

    def _filled(self, server: Resource, step: courses.Step) -> dict[str, Any]:
        """The step's states, with ``same`` replaced by what was there before it."""
        state, power = server.hidden["before"]
        words = {number: word for word, number in payloads.POWER.items()}
        was = step.was or (None, None)
        return {"state": state if step.state == "same" else step.state, "task": step.task,
                "power": step.power or words.get(power, "pending"),
                "event": step.unversioned,
                "was": (state if was[0] == "same" else was[0], was[1])}

    def save(self, server: Resource, step: courses.Step) -> None:
        """Nova's save before an update notification: state, task and time."""
        now = self._cloud.now
        body = server.body
        state = str(body[STATE] if step.state == "same" else step.state)
        updates: dict[str, Any] = {STATE: state, TASK: step.task, "status": courses.server_status(state, step.task),
                   "updated": iso(now)}
        if step.power:
            updates[POWER] = payloads.POWER[step.power]
        if state == "active" and body["OS-SRV-USG:launched_at"] is None:
            server.hidden["launched_at"] = now
            updates |= {"OS-SRV-USG:launched_at": iso(now, micro=True), "progress": 0,
                        "OS-EXT-SRV-ATTR:root_device_name": "/dev/vda"}
        if state == "deleted":
            server.hidden["terminated_at"] = now
            updates["OS-SRV-USG:terminated_at"] = iso(now, micro=True)
        server.hidden["updated_before"] = body["updated"]
        self._cloud.world.change(server, updates)

    def place(self, server: Resource) -> None:
        """Show the scheduler's choice."""
        number = int(server.id.replace("-", "")[:6], 16)
        host = HOSTS[number % len(HOSTS)]
        self._cloud.world.change(server, {
            "OS-EXT-SRV-ATTR:host": host, "OS-EXT-SRV-ATTR:hypervisor_hostname": host, "host_status": "UP",
            "OS-EXT-SRV-ATTR:instance_name": f"instance-{number % 100000:08x}", "OS-EXT-AZ:availability_zone": "nova",
            "hostId": f"{number:056x}"})


def publisher(sender: str, family: str, kind: str, host: str) -> str:
    """The publisher_id, as nova's binaries write theirs."""
    if family == "unversioned":
        return {"scheduler": "scheduler.ctl-1", "save": "compute.ctl-1", "api-save": "compute.api-1",
                "conductor": "compute_task.ctl-1" if kind == "task_error" else "conductor.ctl-1",
                "api": "compute.api-1"}.get(sender, f"compute.{host}")
    return {"scheduler": "nova-scheduler:ctl-1", "save": "nova-compute:ctl-1", "api-save": "nova-compute:api-1",
            "conductor": "nova-conductor:ctl-1", "api": "nova-api:api-1"}.get(sender, f"nova-compute:{host}")
