"""The two compilers of entity types, with pydantic, JSON Schema and CEL below them.

``from_model`` makes an ``EntityType`` from a class, ``from_schema`` from a definition.
"""
