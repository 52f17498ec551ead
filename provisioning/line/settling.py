"""Births that were made without the ledger, brought to it: each once, what it says written down.

Decides only which refusals are of the birth, and for good. Others are of the way there (a station's certificate has ended): the
birth stays to be settled. The ledger accepts as many as the allowance has, while it lasts.
"""

from provisioning.errors import ProvisioningError
from provisioning.line.books import Books
from provisioning.line.journal import Entry, Journal

VERDICTS = ("birth.", "provisioning.")   # codes of the ledger's own


def settle(books: Books, journal: Journal, now_s: int) -> list[Entry]:
    """Settle what is not settled; gives the entries that were written. A `code` in one: refused, and its board needs a person.

    Raises:
        AwayError: the ledger does not answer; the rest stays for the next time.
        ProvisioningError: it lets the station in no more; likewise.
    """
    settled = {entry["record"] for entry in journal.entries if entry["what"] == "settled"}
    done: list[Entry] = []
    for entry in [one for one in journal.entries if one["what"] == "allowed" and one["record"] not in settled]:
        code, message = "", ""
        try:
            books.append(entry["lot"], bytes.fromhex(entry["record"]), now_s)
        except ProvisioningError as error:
            if not error.code.startswith(VERDICTS):
                raise
            code, message = error.code, error.message
        done.append({"what": "settled", "at": now_s, "mac": entry["mac"], "record": entry["record"], "code": code,
                     "message": message})
        journal.append(done[-1])
    return done
