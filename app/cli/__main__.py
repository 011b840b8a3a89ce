"""``python -m app.cli`` is ``persist``."""

from app.cli import main

main()
