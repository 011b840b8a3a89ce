"""OpenAPI 3.1, made from the route table and the entity types."""

from persist.api.openapi.document import (
    document,
    document_chunks,
)

__all__ = ["document", "document_chunks"]
