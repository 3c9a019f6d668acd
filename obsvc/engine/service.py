"""The engine as one object: everything that the contract asks, over one store.

Safe from any thread.  ``obsvc.engine.http`` serves it; ``obsvc.engine_client.local`` calls it in the same process.
"""
from __future__ import annotations

from obsvc.engine.database.schema_version import check_schema
from obsvc.engine.database.store import Store
from obsvc.engine.database.waiters import Waiters
from obsvc.engine.operations.changes import ChangeOperations
from obsvc.engine.operations.dead_letters import DeadLetterOperations
from obsvc.engine.operations.duties import DutyOperations
from obsvc.engine.operations.goal_reader import GoalReader, InstalledPlugins, WorkerPlugins
from obsvc.engine.operations.goals import GoalOperations
from obsvc.engine.operations.jobs import JobOperations
from obsvc.engine.operations.members import MemberOperations
from obsvc.engine.operations.observations import ObservationOperations
from obsvc.engine.operations.reports import ReportOperations
from obsvc.engine.operations.resources import ResourceOperations
from obsvc.engine.operations.selectors import SelectorOperations
from obsvc.engine.operations.stacks import StackOperations
from obsvc.engine.operations.trails import TrailOperations
from obsvc.engine.reports import upkeep
from obsvc.engine_client.contract import CONTRACT_VERSION, CONTRACT_VERSION_MIN, Empty, EngineInfo
from obsvc.exceptions import ObsvcError


class EngineService:
    """Implements :class:`obsvc.engine_client.contract.Engine`: each operation is a method of its subject's object.

    waiters_limit: long polls at once; more are cut short.  plugins: what templates may use; by default what is
    installed.
    """

    def __init__(
        self, store: Store, *, waiters_limit: int = 1000, plugins: WorkerPlugins | None = None,
    ) -> None:
        self.store = store
        self.waiters = Waiters(store.counters, poll_interval=store.settings.poll_interval, limit=waiters_limit)
        store.on_commit(self.waiters.notify)

        self._serve_members()
        self._serve_observations()
        self._serve_stacks(GoalReader(plugins or InstalledPlugins()))

    def _serve_members(self) -> None:
        """Members, what they report, and the duties that one of them leads."""
        members = MemberOperations(self.store, self.waiters)
        self.beat = members.beat
        self.claim = members.claim
        self.release = members.release
        self.observed = members.observed
        self.follow = members.follow
        self.members = members.members
        self.partitions = members.partitions
        self.drain_member = members.drain_member

        reports = ReportOperations(self.store)
        self.report = reports.report
        self.mark = reports.mark

        dead_letters = DeadLetterOperations(self.store)
        self.bury = dead_letters.bury
        self.dead_letters = dead_letters.dead_letters
        self.dead_letter = dead_letters.dead_letter
        self.replay_dead_letter = dead_letters.replay_dead_letter

        trails = TrailOperations(self.store, self.waiters)
        self.trail = trails.trail
        self.tell_trails = trails.tell_trails

        duties = DutyOperations(self.store)
        self.duties = duties.duties
        self.ensure_duties = duties.ensure_duties
        self.request_duty = duties.request_duty
        self.begin_duty = duties.begin_duty
        self.sweep = duties.sweep
        self.end_duty = duties.end_duty

    def _serve_observations(self) -> None:
        """What is observed, and what is known of it."""
        observations = ObservationOperations(self.store)
        self.start = observations.start
        self.stop = observations.stop
        self.list_observations = observations.list_observations

        resources = ResourceOperations(self.store, self.waiters)
        self.read_resource = resources.read_resource
        self.read_resources = resources.read_resources
        self.find_resources = resources.find_resources
        self.list_resources = resources.list_resources

        self.changes = ChangeOperations(self.store, self.waiters).changes

        selectors = SelectorOperations(self.store, self.waiters)
        self.start_selector = selectors.start_selector
        self.stop_selector = selectors.stop_selector
        self.selectors = selectors.selectors
        self.discover = selectors.discover

    def _serve_stacks(self, goal_reader: GoalReader) -> None:
        """Stacks, and the jobs of workers that make them."""
        stacks = StackOperations(self.store, self.waiters, goal_reader)
        self.create_stack = stacks.create_stack
        self.read_stack = stacks.read_stack
        self.list_stacks = stacks.list_stacks
        self.stack_nodes = stacks.stack_nodes
        self.stack_events = stacks.stack_events

        goals = GoalOperations(self.store, goal_reader, stacks)
        self.update_stack = goals.update_stack
        self.delete_stack = goals.delete_stack
        self.rollback_stack = goals.rollback_stack
        self.cancel_stack = goals.cancel_stack
        self.resume_stack = goals.resume_stack
        self.preview_stack = goals.preview_stack

        jobs = JobOperations(self.store, self.waiters)
        self.claim_jobs = jobs.claim_jobs
        self.renew_job = jobs.renew_job
        self.confirm_attempt = jobs.confirm_attempt
        self.complete_job = jobs.complete_job
        self.replace_job = jobs.replace_job
        self.fail_job = jobs.fail_job

    def info(self, request: Empty) -> EngineInfo:
        deployment, settings = self.store.deployment(), self.store.settings
        return EngineInfo(
            contract_version=CONTRACT_VERSION, contract_version_min=CONTRACT_VERSION_MIN,
            database_id=deployment.database_id, partitions=deployment.partitions,
            engine_time=self.store.clock.time(), drain_timeout=settings.drain_timeout,
            member_timeout=settings.member_timeout,
        )

    def prepare(self) -> None:
        """Begin the endless due work; once per start of an engine."""
        self.store.run(upkeep.ensure_retention)

    def ready(self) -> str | None:
        """None where the database answers and its schema is this version's; else why not."""
        try:
            check_schema(self.store)
        except ObsvcError as error:
            return error.message
        return None

    def shutdown(self) -> None:
        """Answer every waiting request now; may be called from a signal handler."""
        self.waiters.shutdown()
