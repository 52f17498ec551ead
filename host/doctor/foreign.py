"""What a device that is not ours can send and read, and what ours can send in its place: the topics `s/<id>/…` of SenML.

As in rights.py, only what is delivered counts. A foreign device hears nothing, so what it must not read is known to have passed
when the device that it was for has it, and GRACE_S longer is listened. What it may send as is tried on topics of both kinds.
"""

from collections.abc import Iterator, Sequence

from host.doctor.codes import CODES, Finding, Severity, judge, untried
from host.doctor.identity import DoctorError, Identity
from host.doctor.mqtt import REFUSED, Connection
from host.doctor.rights import GRACE_S, Probe, await_word, came_by, let_in
from host.ingest import senml
from host.ingest.sort import senml_topic
from node.wire import topics

GROUP = "foreign"   # of the codes


class Foreign(Probe):
    """A device that is not ours, two that are, and a listener that may hear all of them."""

    def __init__(self, stranger: Identity, one: Identity, other: Identity, listener: Identity, mark: str) -> None:
        """Take who speaks."""
        super().__init__(mark)
        self._stranger, self._one, self._other, self._listener = stranger, one, other, listener

    def findings(self) -> Iterator[Finding]:
        """All tests.

        Raises:
            DoctorError: somebody is not let in, or the listener may not hear what ingest hears.
        """
        with let_in(self._listener) as listener:
            heard = [topic for who in (self._stranger, self._one, self._other) for topic in _packs(who)]
            heard += [self._one.topic(kind) for kind in (topics.UP, topics.STATE)]
            if max(listener.subscribe(heard)) >= REFUSED:
                raise DoctorError(f"{self._listener.name} may not subscribe to {_packs(self._stranger)[0]}: it must be allowed "
                                  "what ingest is allowed; render the broker's users anew")
            own = self._own(listener)
            yield own
            if own.severity is not Severity.FINE:   # then nothing shows that a forged message was dropped, and not just late
                for code in CODES:
                    if code.startswith(f"{GROUP}.") and code != own.code:
                        yield untried(code, CODES[code].means, "a foreign device's own packs do not reach the listener")
                return
            yield self._publish(listener)
        yield self._subscribe()

    def _own(self, listener: Connection) -> Finding:
        with let_in(self._stranger) as device:
            lost = [topic for topic in _packs(self._stranger) if not self._mark_heard(device, topic, listener)]
        return judge(f"{GROUP}.own", bool(lost), f"packs to {' and '.join(_packs(self._stranger))} by their own device",
                     f"acknowledged, but did not reach the listener: {', '.join(lost)}" if lost else "they reached the listener")

    def _publish(self, listener: Connection) -> Finding:
        theirs = (*_packs(self._one), self._one.topic(topics.UP), self._one.topic(topics.STATE))
        ours = (*_packs(self._stranger), *_packs(self._other))
        came = [*self._forged(listener, self._stranger, _packs(self._stranger)[0], theirs),
                *self._forged(listener, self._one, self._one.topic(topics.UP), ours)]
        tried = f"messages to {', '.join(theirs)} by {self._stranger.name}, to {', '.join(ours)} by {self._one.name}"
        return judge(f"{GROUP}.publish", bool(came), tried, came_by(came))

    def _forged(self, listener: Connection, who: Identity, own: str, aims: Sequence[str]) -> list[str]:
        forged = self._word("forged")
        with let_in(who) as device:
            for aim in aims:
                self._try_publish(device, aim, forged)
            return self._heard(listener, device, own, forged)

    def _subscribe(self) -> Finding:
        secret = self._word("secret")
        up, ack = self._one.topic(topics.UP), self._one.topic(topics.ACK)
        aims = [ack, up, self._one.topic(topics.STATE), "t/+/up", "t/+/ack", "#", "+/+/+", f"$share/{self._mark}/{up}"]
        came, refused = set(), 0
        with let_in(self._one) as victim, let_in(self._listener) as ingest:
            victim.subscribe([ack])
            for aim in aims:   # each by a connection of its own: some brokers end it, some grant what they do not deliver
                with let_in(self._stranger) as spy:
                    refused += spy.subscribe([aim], qos=0)[0] >= REFUSED
                    if not spy.is_open:
                        continue
                    barrier = self._word("barrier")
                    victim.publish(up, [secret])
                    ingest.publish(ack, [secret, barrier])
                    await_word(victim, barrier)
                    spy.read_for(GRACE_S)
                    came |= {f"{one.topic} by {aim}" for one in spy.messages if one.payload == secret}
        return judge(f"{GROUP}.subscribe", bool(came), f"{len(aims)} subscriptions of {self._stranger.name}: {', '.join(aims)}",
                     came_by(sorted(came)) if came else f"nothing came; {refused} were refused")


def _packs(who: Identity) -> tuple[str, str]:
    return senml_topic(who.name, senml.JSON), senml_topic(who.name, senml.CBOR)
