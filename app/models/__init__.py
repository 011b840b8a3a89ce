"""This deployment's typed entities; ``PERSIST_MODELS`` may name another module of the
same form."""

from app.models.catalog_product import CatalogProduct
from app.models.ops_ticket import OpsTicket

__all__ = ["CatalogProduct", "OpsTicket"]
