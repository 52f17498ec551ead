"""What the host reads of the ledger, beside whoever writes it."""

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from provisioning import rows


def certificate_ends(ledger: Engine) -> Mapping[str, int] | None:
    """When devices' certificates end, by the ledger; None when it cannot be read."""
    file = ledger.url.database if ledger.dialect.name == "sqlite" else None
    if file and not Path(file).is_file():   # opening it would make an empty one
        return None
    try:
        with ledger.connect() as connection:
            return rows.certificate_ends(connection)
    except SQLAlchemyError:
        return None
