"""OpenAPI 3.1, made from entity types: the routes of collections are generic, their
documentation is not."""

from persist.api.openapi.document import collection_texts, document, document_pieces

__all__ = ["collection_texts", "document", "document_pieces"]
