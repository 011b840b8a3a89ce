"""Long calls: threads make one at a time, for which the event loop does not wait."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from persist.domain.json_lock import JsonLock


def test_threads_make_one_long_call_at_a_time() -> None:
    long_call = JsonLock()
    running: list[int] = []
    seen: list[int] = []

    def call(number: int) -> None:
        with long_call:
            running.append(number)
            time.sleep(0.001)
            seen.append(len(running))
            running.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(12)))
    assert seen == [1] * 12


def test_the_main_thread_waits_for_no_long_call() -> None:
    long_call = JsonLock()
    begun, go_on = threading.Event(), threading.Event()

    def call() -> None:
        with long_call:
            begun.set()
            assert go_on.wait(30)

    thread = threading.Thread(target=call)
    thread.start()
    assert begun.wait(30)
    with long_call:
        go_on.set()
    thread.join()
