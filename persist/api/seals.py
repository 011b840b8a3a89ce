"""Seals over HTTP: the chain of hashes over the journal, its head, and proofs."""

from dataclasses import asdict

from fastapi.responses import Response as HttpResponse

from persist.api.fastapi_registration import AuthorizedRequest
from persist.api.journal_key import JournalKey
from persist.api.query_params import (
    controls,
    integer_of,
    page_size,
    pairs_of,
)
from persist.api.responses import JSON, Response, change_text, json_response
from persist.domain.access import Level
from persist.domain.errors import InvalidQuery, NotFound
from persist.domain.record import INT64, dumps
from persist.storage.database import Database
from persist.storage.journal.seal_reader import (
    ChangeProof,
    newest_seal,
    proof_of,
    seals_after,
)


class SealRoutes:
    """The handlers of seals and proofs."""

    def __init__(self, database: Database, key: JournalKey | None) -> None:
        self._database = database
        self._key = key

    async def list_seals(self, request: AuthorizedRequest) -> HttpResponse:
        """Return the seals after a ``seq``, in order."""
        control = controls(pairs_of(request.query), ("after", "limit"))
        after = integer_of(
            control,
            "after",
            0,
            minimum=0,
        )
        after = after or 0
        if after not in INT64:
            raise InvalidQuery("after takes the seq of a change, which has 64 bits")
        limit = page_size(control)
        seals = await self._database.read(
            lambda reader: seals_after(reader.session, after, limit)
        )
        items = [asdict(seal) for seal in seals]
        return json_response({"items": items})

    async def read_head(self, request: AuthorizedRequest) -> HttpResponse:
        """Return the last seal, signed if there is a key."""
        controls(pairs_of(request.query), ())
        seal = await self._database.read(lambda reader: newest_seal(reader.session))
        if seal is None:
            raise NotFound("the journal has no change yet, so nothing is sealed")
        head = asdict(seal)
        if self._key is not None:
            signature = self._key.sign(seal.hash)
            head.update(signature)
        return json_response(head)

    async def read_proof(self, request: AuthorizedRequest, seq: str) -> HttpResponse:
        """Return a change, its seal, and the path from the one to the other."""
        controls(pairs_of(request.query), ())
        number = _number(seq)
        proof = None
        if number in INT64:
            proof = await self._database.read(
                lambda reader: proof_of(reader.session, number)
            )
        if proof is None or not request.access.allows(
            Level.READ, proof.collection, proof.workspace
        ):
            raise NotFound(f"there is no change with the seq {seq[:40]!r}")
        body = _proof_text(proof).encode()
        return Response(200, body, [JSON])


def _number(seq: str) -> int:
    """Return the seq that a path names, 0 if it names none."""
    is_number = seq.isascii() and seq.isdigit()
    if is_number and len(seq) < 20:
        return int(seq)
    return 0


def _proof_text(proof: ChangeProof) -> str:
    change = change_text(proof.change)
    seal = dumps(asdict(proof.seal))
    siblings = [
        {
            "side": side,
            "hash": sibling.hex(),
        }
        for side, sibling in proof.path
    ]
    path = dumps(siblings)
    return f'{{"change":{change},"seal":{seal},"path":{path}}}'
