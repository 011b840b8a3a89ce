"""``tasks``: from schema version 1 to 2."""

from typing import Any

from persist import MigrationPlan, MigrationStep


def add_priority(data: dict[str, Any]) -> dict[str, Any]:
    """Give the tasks of version 1 the middle priority."""
    return {**data, "priority": 2}


PLAN = MigrationPlan(
    [
        MigrationStep(
            1,
            2,
            sql="ALTER TABLE {table} ADD COLUMN priority {integer} NOT NULL DEFAULT 2",
            data=add_priority,
            description="tasks have a priority",
        )
    ]
)
