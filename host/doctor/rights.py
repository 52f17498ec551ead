"""What one certificate can publish and read; found by what is delivered, since brokers acknowledge what they drop.

Nothing that must not come is waited for by the clock alone: a message that must come is sent after it, and GRACE_S longer is
listened. A running ingest hears these messages, too: it keeps them aside, a row for each topic.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from host.doctor.codes import CODES, Finding, Severity, judge, untried
from host.doctor.identity import DoctorError, Identity
from host.doctor.mqtt import REFUSED, WAIT_S, Connection, Will
from node.wire import topics

GRACE_S = 0.5         # for what takes another way through the broker than the message that was sent after it
LOST_S = 2.0          # for a message that may not pass under another's user name
SHARED = 20           # messages to a group
NOT_LET_IN = "was not let in: {why}; is the broker's list of users up to date? (deploy/: the two test devices are in it)"


class Probe:
    """What all tests by delivery need: words of this run alone, and a message that comes behind one that must not."""

    def __init__(self, mark: str) -> None:
        """Take a `mark` of this run alone."""
        self._mark, self._said = mark, 0

    def _mark_heard(self, device: Connection, topic: str, listener: Connection, limit_s: float = WAIT_S) -> bool:
        """Have a device say a word on a topic of its own, and wait until the listener has it."""
        word = self._word("mark")
        device.publish(topic, [word])
        return listener.read_until(lambda: any((one.topic, one.payload) == (topic, word) for one in listener.messages), limit_s)

    def _heard(
        self, listener: Connection, device: Connection, own: str, forged: bytes, limit_s: float = WAIT_S,
    ) -> list[str]:
        """The topics on which the listener hears a forged message that was sent before now; `own`: one that is the device's."""
        if device.is_open:
            self._mark_heard(device, own, listener, limit_s)
        listener.read_for(GRACE_S)
        return sorted({one.topic for one in listener.messages if one.payload == forged})

    def _try_publish(self, device: Connection, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish; a broker may end the connection for it, then the device comes back."""
        device.publish(topic, [payload], retain=retain)
        if not device.is_open:
            device.open()

    def _word(self, what: str) -> bytes:
        self._said += 1
        return f"tenfold doctor {self._mark} {what} {self._said}".encode()


class Rights(Probe):
    """Two devices and a listener that may hear both, as ingest does; connections are opened and closed by each test."""

    def __init__(self, one: Identity, other: Identity, listener: Identity, mark: str) -> None:
        """Take who speaks."""
        super().__init__(mark)
        self._one, self._other, self._listener = one, other, listener

    def findings(self) -> Iterator[Finding]:
        """All tests."""
        with self._listening() as listener:
            own = self._own(listener)
            yield own
            if own.severity is not Severity.FINE:   # then nothing shows that a forged message was dropped, and not just late
                for code in CODES:
                    if code == "name.user" or (code.startswith("rights.") and code != own.code):
                        yield untried(code, CODES[code].means, "a device's own messages do not reach the listener")
                return
            yield from self._publish(listener)
            yield self._will(listener)
            yield from self._users(listener)
        yield self._acks()
        yield from self._subscribe()
        yield self._share()

    def _own(self, listener: Connection) -> Finding:
        with let_in(self._one) as device:
            came = self._mark_heard(device, self._one.topic(topics.UP), listener)
        return judge("rights.own", not came, f"a message to {self._one.topic(topics.UP)} by its own device",
                     "it reached the listener" if came else "acknowledged, but it did not reach the listener")

    def _publish(self, listener: Connection) -> Iterator[Finding]:
        forged = self._word("forged")
        aims = [self._other.topic(topics.UP), self._other.topic(topics.STATE)]
        with let_in(self._one) as device:
            for topic in aims:
                self._try_publish(device, topic, forged, retain=topic.endswith(topics.STATE))
            heard = self._heard(listener, device, self._one.topic(topics.UP), forged)
            yield judge("rights.publish", bool(heard), f"messages to {' and '.join(aims)} by {self._one.name}", came_by(heard))
        before = len(listener.messages)
        listener.subscribe([self._other.topic(topics.STATE)])   # anew: what is retained is told again
        listener.read_for(GRACE_S)
        kept = sorted({one.topic for one in listener.messages[before:] if one.payload == forged})
        yield judge("rights.retain", bool(kept), f"a retained state of {self._other.name} by {self._one.name}", came_by(kept))
        if kept:
            for who in (self._one, self._other):   # leave nothing behind
                with let_in(who) as device:
                    device.publish(self._other.topic(topics.STATE), [b""], retain=True)

    def _will(self, listener: Connection) -> Finding:
        forged = self._word("will")
        aim = self._other.topic(topics.STATE)
        doomed = self._one.connect(will=Will(aim, forged))
        refused = not doomed.is_open
        doomed.cut()
        with let_in(self._one) as device:
            listener.read_for(GRACE_S)   # a broker needs a moment to see the end
            heard = self._heard(listener, device, self._one.topic(topics.UP), forged)
        return judge("rights.will", bool(heard), f"a will for {aim} by {self._one.name}",
                     "refused with the connection" if refused else came_by(heard))

    def _users(self, listener: Connection) -> Iterator[Finding]:
        told, heard = [], []
        for user in (self._other.name, self._listener.name):
            forged = self._word("user")
            with self._one.connect(user=user) as device:
                if not device.is_open:
                    told.append(f"{user}: refused")
                    continue
                self._try_publish(device, self._other.topic(topics.UP), forged)
                came = self._heard(listener, device, self._one.topic(topics.UP), forged, LOST_S)
                heard += came
                told.append(f"{user}: {came_by(came)}")
        yield judge("name.user", bool(heard), f"user names in the CONNECT of {self._one.name}, with its own certificate",
                    "; ".join(told))

    def _acks(self) -> Finding:
        forged = self._word("forged")
        with let_in(self._one) as device, let_in(self._other) as victim, let_in(self._listener) as ingest:
            victim.subscribe([self._other.topic(topics.ACK)])
            for who in (self._one, self._other):
                device.subscribe([self._one.topic(topics.ACK)])
                self._try_publish(device, who.topic(topics.ACK), forged)
            self._barrier(ingest, ((victim, self._other),))
            device.read_for(GRACE_S)
            heard = sorted({one.topic for each in (device, victim) for one in each.messages if one.payload == forged})
        return judge("rights.ack", bool(heard), f"acks for {self._one.name} and {self._other.name} by the device {self._one.name}",
                     came_by(heard))

    def _subscribe(self) -> Iterator[Finding]:
        other, secret = self._other, self._word("secret")
        aims = [other.topic(kind) for kind in (topics.ACK, topics.UP, topics.STATE)]
        aims += ["t/+/ack", "t/+/up", "t/+/state", "#", "+/+/+", "$MQTT/#", "$JS/#", "$SYS/#", f"$share/{self._mark}/{aims[0]}"]
        came, sys, refused = set(), set(), 0
        with let_in(other) as victim, let_in(self._listener) as ingest:
            for aim in aims:   # each by a connection of its own: some brokers end it, some grant what they do not deliver
                with let_in(self._one) as spy:
                    refused += spy.subscribe([aim], qos=0)[0] >= REFUSED
                    spy.subscribe([self._one.topic(topics.ACK)], qos=0)
                    if not spy.is_open:
                        continue
                    victim.publish(other.topic(topics.UP), [secret])
                    ingest.publish(other.topic(topics.ACK), [secret])
                    self._barrier(ingest, ((spy, self._one),))
                    own = self._one.topic(topics.ACK)
                    came |= {f"{one.topic} by {aim}" for one in spy.messages if one.topic != own and not one.topic.startswith("$")}
                    sys |= {one.topic for one in spy.messages if one.topic.startswith("$")}
        tried = f"{len(aims)} subscriptions of {self._one.name}: {', '.join(aims)}"
        yield judge("rights.subscribe", bool(came), tried,
                    came_by(sorted(came)) if came else f"nothing came; {refused} were refused")
        yield judge("rights.sys", bool(sys), f"$SYS/# by {self._one.name}",
                    f"{len(sys)} topics, {sorted(sys)[0]} among them" if sys else "nothing came")

    def _share(self) -> Finding:
        group = f"$share/{self._mark}-workers/{self._other.topic(topics.UP)}"
        word = self._word("shared")
        tried = f"{self._one.name} in a group of the listener's, {SHARED} messages by {self._other.name}"
        with let_in(self._listener) as worker, let_in(self._one) as thief, let_in(self._other) as device:
            if worker.subscribe([group])[0] >= REFUSED:
                return judge("rights.share", False, tried, "this broker has no shared subscriptions")
            thief.subscribe([group])
            device.publish(self._other.topic(topics.UP), [word] * SHARED)
            worker.read_until(lambda: len(worker.messages) >= SHARED, GRACE_S * 2)
            got = sum(one.payload == word for one in worker.messages)
        if not got:
            return judge("rights.share", False, tried, "this broker grants shared subscriptions and does not serve them")
        return judge("rights.share", got < SHARED, tried, f"{got} of {SHARED} reached the listener")

    @contextmanager
    def _listening(self) -> Iterator[Connection]:
        with let_in(self._listener) as listener:
            codes = listener.subscribe([who.topic(kind) for who in (self._one, self._other) for kind in (topics.UP, topics.STATE)])
            if max(codes) >= REFUSED:
                raise DoctorError(f"{self._listener.name} may not subscribe to {self._one.topic(topics.UP)}: it must be "
                                  "allowed what ingest is allowed")
            yield listener

    def _barrier(self, ingest: Connection, devices: Sequence[tuple[Connection, Identity]]) -> None:
        """Send each device something that it must get, and wait until it has it."""
        word = self._word("barrier")
        for each, who in devices:
            ingest.publish(who.topic(topics.ACK), [word])
            await_word(each, word)
            each.read_for(GRACE_S)


@contextmanager
def let_in(who: Identity, *, clean: bool = True, acknowledge: bool = True) -> Iterator[Connection]:
    """A connection that must come about; one at a time for each identity, since a broker may make the name the client id.

    Raises:
        DoctorError: it did not.
    """
    with who.connect(clean=clean, acknowledge=acknowledge) as connection:
        if not connection.is_open:
            raise DoctorError(f"{who.name} " + NOT_LET_IN.format(why=connection.why or f"CONNACK {connection.code}"))
        yield connection


def await_word(each: Connection, word: bytes) -> None:
    """Read until a word that must come has come."""
    each.read_until(lambda: any(one.payload == word for one in each.messages))


def came_by(heard: Sequence[str]) -> str:
    """What happened, for a finding."""
    return f"delivered: {', '.join(heard)}" if heard else "dropped"
