"""``ops-tickets``: from schema version 1 to 2."""

from typing import Any

from persist import MigrationPlan, MigrationStep


def scale_severity(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 rated severity from 1 to 5, version 2 rates it from 10 to 50."""
    return {**data, "severity": data["severity"] * 10, "migration_note": None}


PLAN = MigrationPlan(
    [
        MigrationStep(
            1,
            2,
            sql="ALTER TABLE {table} ADD COLUMN migration_note {text}",
            data=scale_severity,
            description="severity from 10 to 50; a note on the migration",
        )
    ]
)
