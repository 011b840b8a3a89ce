"""Ids that no other process makes."""

import os

from persist.domain.identifiers import new_id, new_request_id


def test_a_forked_process_makes_ids_of_its_own() -> None:
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.write(writing, f"{new_request_id()} {new_id()}".encode())
        os._exit(0)
    os.waitpid(process, 0)
    theirs = os.read(reading, 1000).decode().split()
    assert theirs[0] != new_request_id()
    assert theirs[0][:20] != new_request_id()[:20]
    assert theirs[1] != new_id()
