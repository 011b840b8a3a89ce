"""``catalog-products``: from schema version 1 to 3."""

from typing import Any

from persist import MigrationPlan, MigrationStep


def add_active(data: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no products that are not sold."""
    return {**data, "active": True}


def add_pricing_tier(data: dict[str, Any]) -> dict[str, Any]:
    """Prices went up by 500 cents with version 3; nobody has a tier yet."""
    return {**data, "price_cents": data["price_cents"] + 500, "pricing_tier": None}


PLAN = MigrationPlan(
    [
        MigrationStep(
            1,
            2,
            sql="ALTER TABLE {table} ADD COLUMN active {boolean} NOT NULL DEFAULT TRUE",
            data=add_active,
            description="products can be taken out of sale",
        ),
        MigrationStep(
            2,
            3,
            sql="ALTER TABLE {table} ADD COLUMN pricing_tier {text}",
            data=add_pricing_tier,
            description="pricing tiers; 500 cents more for everything",
        ),
    ]
)
