"""What the engine's operations need of the configuration, frozen: taken once, from ``[engine]`` (see there)."""
from __future__ import annotations

import dataclasses

from oslo_config import cfg

from obsvc.process.backoff import Backoff


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """All times in seconds; names and reasons are those of the options in ``obsvc.conf.engine``."""

    member_timeout: float = 10.0
    drain_timeout: float = 30.0
    poll_interval: float = 0.1
    job_lease: float = 60.0
    job_attempts: int = 5
    build_attempts: int = 3
    job_retry_initial: float = 1.0
    job_retry_max: float = 60.0
    marker_sweep_pause: float = 60.0
    node_timeout: float = 3600.0
    last_look_grace: float = 15.0
    progress_interval: float = 60.0
    stalled_after: float = 300.0
    retention: float = 7 * 86400.0
    selectors_per_project: int = 100

    def retry_pause(self, failures: int) -> float:
        """Seconds until the next attempt, after ``failures`` earlier ones: doubles each time, with jitter."""
        return Backoff(self.job_retry_initial, self.job_retry_max).delay(failures + 1)

    @classmethod
    def from_conf(cls, conf: cfg.ConfigOpts) -> EngineSettings:
        """The settings that ``conf.engine`` says."""
        return cls(**{field.name: getattr(conf.engine, field.name) for field in dataclasses.fields(cls)})
