"""``python -m persist.cli`` is ``persist``."""

from persist.cli import main

main()
