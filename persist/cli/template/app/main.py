"""The ASGI application, for a server of your choice: ``uvicorn app.main:app``."""

from persist import create_app

app = create_app()
