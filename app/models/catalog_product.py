"""CatalogProduct: something the shop sells."""

from sqlmodel import Field, SQLModel

from migrations import catalog_products
from persist import entity


@entity("catalog-products", schema_version=3, plan=catalog_products.PLAN)
class CatalogProduct(SQLModel):
    """A product of the catalogue."""

    sku: str = Field(
        min_length=1,
        max_length=64,
        unique=True,
        schema_extra={"examples": ["KB-01"]},
    )
    title: str = Field(
        min_length=1,
        max_length=200,
        schema_extra={"examples": ["Mechanical Keyboard"]},
    )
    price_cents: int = Field(
        ge=0,
        index=True,
        schema_extra={"examples": [12900]},
    )
    active: bool = True
    pricing_tier: str | None = None
