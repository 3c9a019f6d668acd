"""What callers may ask of an existing stack: another goal, a rollback, its deletion, that it stops or goes on.

Each is taken at any moment: what is in progress is superseded (see ``updating``).  A template is parsed and refused
whole before anything is written.
"""
from __future__ import annotations

from collections.abc import Callable

from obsvc.engine.database.store import Store, Transaction
from obsvc.engine.operations.goal_reader import GoalReader, check_timeout
from obsvc.engine.operations.stacks import StackOperations
from obsvc.engine.stacks.deletion import start_delete
from obsvc.engine.stacks.locking import locked
from obsvc.engine.stacks.preview import plan
from obsvc.engine.stacks.rollback import resume, roll_back, stop
from obsvc.engine.stacks.traversal import Traversal
from obsvc.engine.stacks.updating import retarget, store_goal
from obsvc.engine.stacks.views import find_stack, read_stack
from obsvc.engine_client import stacks
from obsvc.engine_client.stacks import StackAction, StackStatus
from obsvc.exceptions import Conflict


class GoalOperations:
    """What changes what is wanted of stacks; safe from any thread."""

    def __init__(self, store: Store, goals: GoalReader, reading: StackOperations) -> None:
        self._store = store
        self._goals = goals
        self._reading = reading

    def update_stack(self, request: stacks.StackUpdate) -> stacks.Stack:
        """Take another goal, whatever the stack is doing, and start towards it.

        Raises InvalidInput for a template or parameters that can't be taken (nothing is written then), Conflict for a
        stack that is deleted.
        """
        check_timeout(request.timeout)
        template, values = self._goals.read(request)

        def work(traversal: Traversal) -> None:
            if traversal.row.status is StackStatus.DELETE_COMPLETE:
                raise Conflict(f"stack {traversal.row.name!r} is deleted: create it anew")
            traversal.set(timeout=request.timeout, disable_rollback=request.disable_rollback)
            target = store_goal(traversal.tx, traversal.stack_id, request.template, template, values)
            retarget(traversal, StackAction.UPDATE, target)

        return self._change(request.stack, request.project_id, work)

    def delete_stack(self, request: stacks.StackRequest) -> stacks.Stack:
        """Delete everything of the stack, in reverse order; a second time has no effect, after a failure it retries.

        With ``wait`` the answer comes when the deletion has ended, or the time is over.
        """

        def work(traversal: Traversal) -> None:
            if traversal.row.status not in (StackStatus.DELETE_IN_PROGRESS, StackStatus.DELETE_COMPLETE):
                start_delete(traversal)

        answer = self._change(request.stack, request.project_id, work)
        if request.wait > 0:
            return self._reading.read_stack(stacks.StackRequest(answer.stack_id, request.project_id, request.wait))
        return answer

    def rollback_stack(self, request: stacks.StackRequest) -> stacks.Stack:
        """Go back to the last goal that was reached (to nothing where none was); Conflict where it is there."""
        return self._change(request.stack, request.project_id, roll_back)

    def cancel_stack(self, request: stacks.StackCancel) -> stacks.Stack:
        """Stop a creation, update or rollback, and with ``rollback`` go back; Conflict unless one is in progress."""

        def work(traversal: Traversal) -> None:
            status = traversal.row.status
            if traversal.deleting or not traversal.in_progress:
                raise Conflict(f"stack {traversal.row.name!r} is {status}: expected a creation, an update or a "
                               "rollback in progress; there is nothing to cancel")
            if request.rollback:
                roll_back(traversal)
            else:
                stop(traversal, "cancelled")
                traversal.may_roll_back = False

        return self._change(request.stack, request.project_id, work)

    def resume_stack(self, request: stacks.StackRequest) -> stacks.Stack:
        """Go on with what has failed where it stopped; Conflict for a stack that has not failed."""
        return self._change(request.stack, request.project_id, resume)

    def preview_stack(self, request: stacks.StackUpdate) -> stacks.StackPlan:
        """What this update would do; nothing is written.  Raises as :meth:`update_stack`."""
        template, values = self._goals.read(request)

        def work(tx: Transaction) -> stacks.StackPlan:
            row = find_stack(tx, request.stack, request.project_id)
            return stacks.StackPlan(tuple(plan(tx, row, template, values, self._goals.plugins.needs_replacement)))

        return self._store.read(work)

    def _change(self, stack: str, project_id: str | None, work: Callable[[Traversal], None]) -> stacks.Stack:
        """Carry ``work`` out with the stack locked; the stack after it."""

        def change(tx: Transaction) -> stacks.Stack:
            with locked(tx, find_stack(tx, stack, project_id).stack_id) as traversal:
                work(traversal)
            return read_stack(tx, traversal.stack_id)

        return self._store.run(change)
