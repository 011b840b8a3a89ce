"""The ASGI application of this deployment: ``uvicorn app.main:app``."""

from persist import create_app

app = create_app()
