"""CPU budget: how long one operation may compute while others wait for it."""

import time


class CpuBudget:
    """The ``seconds`` of processor time that an operation may take in its thread. The
    time of other threads does not count."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.thread_time() + seconds

    @property
    def is_over(self) -> bool:
        """Whether the time is used up."""
        return time.thread_time() > self._end
