"""The nouns of the service and their rules; the standard library only.

``collection`` is where records change. ``entity_type`` is what a collection consists
of, ``record`` and ``change`` are what it stores, ``query`` is how it is searched.
"""
