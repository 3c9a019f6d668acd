"""A row's class has its table's columns in the table's order: rows are taken over by their places."""
from __future__ import annotations

import pytest

from obsvc.engine.database.due import DueRow
from obsvc.engine.emitter import OutboxRow
from obsvc.engine.observations import watches
from obsvc.engine.operations.changes import DeltaRow, FeedRow
from obsvc.engine.ownership.duties import DutyRow
from obsvc.engine.schema import core, duties, stacks
from obsvc.engine.schema.rows import Deployment, MemberRow, ObservationRow, PartitionRow, ResourceRow


@pytest.mark.parametrize("row, table", [
    (Deployment, core.deployment), (PartitionRow, core.partition), (MemberRow, core.member),
    (ResourceRow, core.resource), (FeedRow, core.feed), (DeltaRow, core.delta), (DutyRow, duties.duty),
    (DueRow, stacks.due), (OutboxRow, stacks.outbox),
], ids=lambda value: value.name if hasattr(value, "name") else value.__name__)
def test_a_row_has_the_columns_of_its_table_in_their_order(row, table):
    assert row._fields == tuple(column.name for column in table.columns)


def test_an_observation_is_read_with_the_parts_of_its_ref():
    assert ObservationRow._fields == tuple(column.name for column in watches.select_observations().selected_columns)
