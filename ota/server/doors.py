"""The doors of the operators' API: every call under `/admin` passes here, is let in or refused, and every changing one is noted.

Decides nothing itself: `people` tells who comes, `rules.access` what a call needs. The audit's row of a call is written in the
transaction that changes something (`store.audit`); a call that changed nothing gets its row here, with the code of its answer,
before that is sent. A call that fails after it has changed something has two. Refused calls of strangers are noted up to a rate: a
device must not be able to fill the log or to keep the write lock busy.
"""

import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ota.rules import access, shed
from ota.rules.access import About, Door
from ota.server import errors, people
from ota.server.context import Context
from ota.server.errors import ApiError
from ota.server.people import Person
from ota.store import audit, devices, releases, rollouts
from ota.store.session import BusyError, reading, writing

ADMIN = "/admin/"
ARTIFACT = "/admin/artifacts/{name}"   # its body is not JSON and is taken as it arrives
READS = ("GET", "HEAD")
NAMES = ("manifest", "name")      # members of a body that tell what it is about
REASONS = ("reason", "note")
REFUSED_BURST, REFUSED_A_S = 100.0, 1.0   # refused calls that are noted; of people at a keyboard all of them are
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
log = logging.getLogger(__name__)


class Doors:
    """ASGI middleware over the whole application; other paths pass untouched."""

    def __init__(self, app: Callable[..., Awaitable[None]], context: Context) -> None:
        self._app, self._context = app, context
        self._refused = shed.Tokens(REFUSED_A_S, REFUSED_BURST, REFUSED_BURST, context.clock())

    async def __call__(self, scope: Message, receive: Receive, send: Callable[..., Any]) -> None:
        """Let a call in, or answer why not."""
        if scope["type"] != "http" or not scope["path"].startswith(ADMIN):
            await self._app(scope, receive, send)
            return
        act = audit.Act(self._context.clock(), "", "", "", scope["method"], scope["path"])
        answer = Answer(send, None if scope["method"] in READS else lambda outcome, told: self._note(act, outcome, told))
        try:
            inner = await self._enter(scope, Body(receive), act)
            mark = audit.ACT.set(None if scope["method"] in READS else act)
            try:
                await self._app(scope, inner.receive, answer)
            finally:
                audit.ACT.reset(mark)
        except (ApiError, BusyError) as error:
            if answer.status:   # the answer is under way
                raise
            await errors.of(error)(scope, receive, answer)
        except Exception:   # told by who stands before, as our fault
            await answer.settle("server.fault", "")
            raise
        await answer.settle("request.cut", "")

    async def _enter(self, scope: Message, body: "Body", act: audit.Act) -> "Body":
        """Find out who comes and whether they may; raises if not."""
        person = await self._person(scope, act)
        found = access.door(scope["method"], scope["path"])
        if found is None:
            raise _nothing_here(scope)
        _check(person, found)
        if found.path != ARTIFACT:
            await body.read()
        told = body.members()
        act.about, act.reason = _first(told, NAMES), _first(told, REASONS)
        if person.models:
            await self._context.run(self._check_models, person, found, told)
        scope.setdefault("state", {})["person"] = person
        return body

    async def _person(self, scope: Message, act: audit.Act) -> Person:
        context = self._context
        name = people.peer(scope, context.settings, context.forwarded, act.at_s)
        act.who = act.certificate = name
        token = people.bearer(scope["headers"])
        if token is None:
            person = people.by_certificate(name, context.settings.roles)
        else:
            person = await context.run(people.by_token, context.engine, name, token, act.at_s)
        act.who, act.role = person.name, person.role
        return person

    def _check_models(self, person: Person, found: Door, told: dict[str, Any]) -> None:
        """Refuse a token that is not for the models that a call concerns. What does not exist is told as such by the handler."""
        models: tuple[str, ...] | None = None
        with reading(self._context.engine) as connection:
            match found.need.about:
                case About.NOTHING:
                    return
                case About.ROLLOUT:
                    rollout = rollouts.get(connection, found.names["ident"])
                    models = None if rollout is None else rollout.release.models
                case About.DEVICE:
                    device = devices.get(connection, found.names["device"])
                    models = None if device is None else (device.report.model,)
                case About.MANIFEST:
                    published = releases.get(connection, str(told.get("manifest", "")))
                    models = None if published is None else published.release.models
        if models is None or not access.covers(person.models, models):
            raise ApiError(403, "token.models", f"{person.name} is for {', '.join(person.models)} only")

    async def _note(self, act: audit.Act, outcome: str, told: str) -> None:
        """Write a call's row, unless its transaction has and nothing went wrong since."""
        if act.noted and outcome == audit.DONE:
            return
        if not act.role:
            self._refused, wait_s = self._refused.take(self._context.clock())
            if wait_s:
                log.warning("%s %s by %s: %s; not in the audit log, too many", act.method, act.path, act.who or "nobody", outcome)
                return
        try:
            await self._context.run(_write, self._context, act, outcome, told or None)
        except BusyError:   # nothing is changed that is now without its row
            log.error("%s %s by %s: %s; not in the audit log, the database was busy", act.method, act.path, act.who, outcome)


class Answer:
    """Passes an answer on, as soon as what it says is noted.

    Args:
        note: takes the outcome (DONE or a code) and, of an error, its message; None when there is nothing to note.
    """

    def __init__(self, send: Callable[..., Any], note: Callable[[str, str], Awaitable[None]] | None) -> None:
        self._send, self._note = send, note
        self._start: Message = {}
        self._sent = False

    @property
    def status(self) -> int:
        """The answer's status; 0 before there is one."""
        return int(self._start.get("status", 0))

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        if self._note is not None:
            told = _object(message.get("body", b"")) if self.status >= 400 else {"code": audit.DONE}
            await self.settle(str(told.get("code", f"http.{self.status}")), str(told.get("message", "")))
        if not self._sent:
            self._sent = True
            await self._send(self._start)
        await self._send(message)

    async def settle(self, outcome: str, told: str) -> None:
        """Note how the call ended, once."""
        note, self._note = self._note, None
        if note is not None:
            await note(outcome, told)


class Body:
    """A request's body, read before the handler takes it; `receive` gives it again."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: list[Message] = []

    async def read(self) -> None:
        """Read to the end. How much that may be, is bounded by who stands before."""
        while not self._messages or self._messages[-1].get("more_body", False):
            self._messages.append(await self._receive())

    def members(self) -> dict[str, Any]:
        """Give the members of a JSON object; none for anything else, which the handler refuses."""
        return _object(b"".join(each.get("body", b"") for each in self._messages))

    async def receive(self) -> Message:
        """Give the next message, as it came."""
        return self._messages.pop(0) if self._messages else await self._receive()


def _check(person: Person, found: Door) -> None:
    need = found.need
    if not access.is_enough(person.role, need):
        code = "operator.read_only" if person.role is access.Role.VIEWER else "operator.role"
        raise ApiError(403, code, f"{person.name} is {person.role}, this needs {need.role}; see `roles` in the settings")
    if need.certificate and person.has_token:
        raise ApiError(403, "token.certificate", "this needs the certificate of an approver, no token can do it")
    if need.about is About.FLEET and person.models:
        raise ApiError(403, "token.models", f"{person.name} is for {', '.join(person.models)} only, this concerns every model")


def _nothing_here(scope: Message) -> ApiError:
    if access.is_path(scope["path"]):
        return ApiError(405, "http.405", "Method Not Allowed")
    return ApiError(404, "http.404", "Not Found")


def _write(context: Context, act: audit.Act, outcome: str, reason: str | None) -> None:
    audit.ACT.set(None)   # of this run's own context: the transaction must not add the row too
    with writing(context.engine) as connection:
        audit.note(connection, act, outcome, reason)


def _first(told: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((value for value in (told.get(name) for name in names) if isinstance(value, str) and value), "")


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


