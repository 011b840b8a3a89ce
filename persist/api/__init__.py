"""HTTP, and the only package that knows FastAPI and Starlette.

``gateway`` gets every request. ``routes`` declares every route and ``write_requests``
is the path of every write. ``requests`` and ``responses`` are what goes in and out,
``problems`` is every error. The other modules have the handlers of one subject each.
"""
