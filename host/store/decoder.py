"""Stored batches as columns with their channels.

Decides what cannot be read: a batch whose schema is not known yet, or whose columns do not decode, is left out, counted and
logged; it stays stored. Safe for several threads but for the count, which may miss one.
"""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection

from host.ingest.decode import DecodedBatch, decode
from host.store.channels import Channel
from host.store.schemas import Schemas
from node.errors import FormatError

log = logging.getLogger(__name__)


class Decoder:
    """Remembers schemas from one question to the next. `undecodable` counts what was left out."""

    def __init__(self) -> None:
        self.schemas = Schemas()
        self.undecodable = 0

    def of(
        self, connection: Connection, device: str, rows: Iterable[Any]
    ) -> Iterator[tuple[Any, tuple[Channel, ...], DecodedBatch]]:
        """Rows that can be read, with their channels and columns."""
        for row in rows:
            channels = self.schemas.of(connection, device, row.schema)
            decoded = self.read(device, channels, row.payload)
            if decoded is not None:
                yield row, channels, decoded

    def read(self, device: str, channels: tuple[Channel, ...], payload: bytes) -> DecodedBatch | None:
        """One batch; None when it cannot be read."""
        if not channels:
            self.undecodable += 1
            return None
        try:
            decoded = decode(payload)
        except FormatError as error:
            self.undecodable += 1
            log.warning("a stored batch of %s does not decode: %s", device, error)
            return None
        if len(decoded.values) != len(channels):
            self.undecodable += 1
            log.warning("a stored batch of %s has %d columns, its schema %d", device, len(decoded.values), len(channels))
            return None
        return decoded
