"""A user's own deployment, outside ``app/``: it imports ``persist`` and ``sqlmodel``
only.

``PERSIST_MODELS=tests.deployment`` serves every entity in this namespace.
"""

from tests.deployment.account import Account
from tests.deployment.counter import Counter
from tests.deployment.measure import Measure
from tests.deployment.oddity import Oddity
from tests.deployment.sample import Sample
from tests.deployment.ticket import Ticket

__all__ = ["Account", "Counter", "Measure", "Oddity", "Sample", "Ticket"]
