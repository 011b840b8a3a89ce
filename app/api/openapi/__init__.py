"""OpenAPI 3.1, made from entity types: the routes of collections are generic, their documentation is not."""

from app.api.openapi.assembly import collection_document, collection_paths, document

__all__ = ["collection_document", "collection_paths", "document"]
