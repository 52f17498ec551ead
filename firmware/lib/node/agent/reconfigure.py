"""A configuration that the server delivers: checked whole, tried, and given up when the device does not stay healthy with it.

Decides which configuration a boot runs on, what becomes of one that came, and when a trial has ended. What may be delivered at all
is config.DELIVERED; the line's site.json stays the ground on which it lies. A configuration is named by the first bytes of its
SHA-256. It is changed by a restart, never under a running app.

Files: CURRENT is in force; NEW is on trial, and TRIED holds a byte for each boot with it; FAILED tells the server of one that was
given up, until it has heard.
"""

import gc
import json

from node.agent import trial
from node.compat import const, hexstr, sha256
from node.errors import CallerError, PeerError
from node.wire.limits import CONFIG_NAME_BYTES

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any, Callable
    from node.ports import Files

SITE = "/state/site.json"
CURRENT = "/state/config.json"
NEW = "/state/config.new"
TRIED = "/state/config.tried"
FAILED = "/state/config.failed"
MAX_BOOTS = const(3)   # of a trial: below the 5 crashes after which boot.py would blame the release instead
MAX_REASON = const(100)   # characters


def name_of(body: bytes) -> str:
    """The name of a configuration, in hex; "" of none."""
    return hexstr(sha256(body)[:CONFIG_NAME_BYTES]) if body else ""


def choose(files: "Files", parse: "Callable[[bytes, bytes], Any]") -> "tuple[Any, str, bool]":
    """What this boot runs on. Counts the boot if it is a trial's.

    Args:
        parse: node.config's, on site.json and a delivered configuration; raises CallerError.

    Returns:
        (the configuration, the name of what was delivered or "", whether that is on trial).

    Raises:
        CallerError: site.json itself is of no use.
    """
    site, current, new = files.read(SITE) or b"", files.read(CURRENT) or b"", files.read(NEW) or b""
    if new:
        tried = files.read(TRIED) or b""
        if new == current:   # power went while it was taken over
            _forget(files)
        elif len(tried) >= MAX_BOOTS:
            give_up(files, "boots")
        else:
            files.write_atomic(TRIED, tried + b"1")
            try:
                return parse(site, new), name_of(new), True
            except CallerError as error:
                give_up(files, str(error))
    if current:
        try:
            return parse(site, current), name_of(current), False
        except CallerError as error:   # another release took it; this one runs as the line left it
            _failed(files, current, str(error))
    return parse(site, b""), "", False


def take(files: "Files", name: str, body: bytes, parse: "Callable[[bytes, bytes], Any]") -> bool:
    """Put a configuration that came on trial; it runs from the next boot on.

    Returns:
        Whether to restart. If not, it was refused and the server is to hear why.

    Raises:
        PeerError: `config.name`: it is not the one that it is said to be. FlashError.
    """
    if name_of(body) != name:
        raise PeerError("config.name", "got %s, expected %s" % (name_of(body), name))
    gc.collect()
    try:
        parse(files.read(SITE) or b"", body)
    except CallerError as error:
        _failed(files, body, str(error))
        return False
    files.remove(TRIED)
    files.write_atomic(NEW, body)
    return True


def judge(acked: bool, checked_in: bool, readings: bool, app_crashes: int, elapsed_ms: int, stalled_ms: int,
          trial_ms: int) -> tuple[str, str]:
    """Judge a trial, as trial.judge does a release's, but the whole time must have been healthy.

    Args:
        readings: a reading has been committed in this boot.
    """
    verdict, reason = trial.judge(acked, checked_in, app_crashes, elapsed_ms, stalled_ms, trial_ms)
    if verdict != trial.CONFIRM:
        return verdict, reason
    if elapsed_ms < trial_ms:
        return trial.WAIT, ""
    return (trial.CONFIRM, reason) if readings else (trial.GIVE_UP, "no readings")


def confirm(files: "Files") -> None:
    """Keep what is on trial."""
    files.write_atomic(CURRENT, files.read(NEW) or b"")
    _forget(files)


def give_up(files: "Files", reason: str) -> None:
    """Drop what is on trial; the next boot runs on what was before it."""
    _failed(files, files.read(NEW) or b"", reason)
    _forget(files)


def failed(files: "Files") -> "dict[str, str] | None":
    """What the server has to hear: {"name", "reason"}, or None."""
    try:
        told = json.loads(files.read(FAILED) or b"null")
        return told if told is None else {"name": told["name"], "reason": told["reason"]}
    except (ValueError, TypeError, KeyError, RuntimeError):
        return None


def heard(files: "Files") -> None:
    """The server has heard of it."""
    files.remove(FAILED)


def _failed(files: "Files", body: bytes, reason: str) -> None:
    plain = "".join([char if " " <= char <= "~" else "?" for char in reason[:MAX_REASON]])
    files.write_atomic(FAILED, json.dumps({"name": name_of(body), "reason": plain}).encode())


def _forget(files: "Files") -> None:
    files.remove(NEW)   # first: a count without a trial does no harm
    files.remove(TRIED)
