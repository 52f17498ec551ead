"""Which months had something dropped: what was summed of them is more than what is stored. Kept in `tally`."""

from sqlalchemy import Connection, insert, select, update

from host.store.tables import tally

PREFIX = "dropped."   # and the month; the value is bytes


def months(connection: Connection) -> set[str]:
    """The months, e.g. 2026-11."""
    names = connection.scalars(select(tally.c.name).where(tally.c.name.like(f"{PREFIX}%")))
    return {name.removeprefix(PREFIX) for name in names}


def note(connection: Connection, month: str, size: int) -> None:
    """Keep that something of a month goes; before it goes."""
    name = PREFIX + month
    if not connection.execute(update(tally).where(tally.c.name == name).values(value=tally.c.value + size)).rowcount:
        connection.execute(insert(tally).values(name=name, value=size))
