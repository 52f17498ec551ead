"""The DNS server that holds the zone: read by AXFR, changed by RFC 2136 updates, both signed with TSIG; and any resolver, asked.

Decides how a change is told: as one message, which the server takes whole or not at all, under the condition that the zone's SOA is
still the one that was read (RFC 2136, 2.4.2): what somebody else changed meanwhile is neither overwritten nor half of it taken for
granted. A change that is too large goes in several such messages, cut between steps (rules/zone.py), and so is safe to break off
anywhere and to push again. What is changed is decided by rules/zone.py. An answer without our key's signature is no answer.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataset
import dns.rdatatype
import dns.tsig
import dns.update
import dns.xfr
import dns.zone
from dns.rdtypes.ANY.CNAME import CNAME
from dns.rdtypes.ANY.SOA import SOA
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.AAAA import AAAA

from provisioning.errors import ProvisioningError
from provisioning.rules.routes import Routes
from provisioning.rules.zone import OURS, Answer, Change, RRset, changes, records, refuse_harm

TIMEOUT_S = 10.0            # for each message of the server
TRIES = 3                   # when somebody else changes the zone meanwhile
MAX_MESSAGE_BYTES = 60_000   # of an update: TCP's 65,535, less the signature and what compression may turn out worse
MAX_ZONE_MESSAGES = 10_000   # of a transfer: a million devices are about 1,500
DNSSEC = frozenset({"RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "TYPE65534"})   # the server's own work


@dataclass(frozen=True)
class Held:
    """What the zone holds.

    Attributes:
        others: types that are not ours, by relative name, without the apex and DNSSEC's.
    """

    serial: int
    rrsets: frozenset[RRset]
    others: Mapping[str, frozenset[str]]
    soa: SOA


@dataclass(frozen=True)
class Pushed:
    """What a push did, or would do.

    Attributes:
        messages: updates sent. cut_off: devices that others' records keep from the wildcard.
    """

    before: int
    after: int
    steps: tuple[tuple[Change, ...], ...]
    messages: int
    cut_off: tuple[str, ...]


class Server:
    """One DNS server, by `host`, `host:port` or `[address]:port`."""

    def __init__(self, text: str) -> None:
        """Look the server up.

        Raises:
            ProvisioningError: "route.server".
        """
        host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "53")
        try:
            if not 0 < int(port) < 65536:
                raise ValueError
            found = socket.getaddrinfo(host.strip("[]"), int(port), 0, socket.SOCK_STREAM)[0][-1]
        except (OSError, ValueError):
            raise ProvisioningError(
                "route.server", f"got {text!r}, expected a DNS server's name or address, or host:port") from None
        self.text, self._address, self._port = text, str(found[0]), int(port)

    def read(self, zone: str, key: dns.tsig.Key) -> Held:
        """Fetch the whole zone.

        Raises:
            ProvisioningError: "route.server", "route.refused".
        """
        found = dns.zone.Zone(dns.name.from_text(zone))
        with self._faults(zone):
            self._transfer(found, key)
        rrsets, others = set(), {}
        for name, node in found.nodes.items():
            types = {dns.rdatatype.to_text(rdataset.rdtype): rdataset for rdataset in node.rdatasets}
            if name == dns.name.empty:
                continue
            rrsets |= {RRset(name.to_text(), kind, types[kind].ttl, tuple(sorted(_value(rdata, found) for rdata in types[kind])))
                       for kind in OURS if kind in types}
            if foreign := types.keys() - DNSSEC - set(OURS):
                others[name.to_text()] = frozenset(foreign)
        soa = cast(SOA, found.find_rdataset(dns.name.empty, dns.rdatatype.SOA)[0])
        return Held(soa.serial, frozenset(rrsets), others, soa)

    def push(self, routes: Routes, key: dns.tsig.Key, *, prune: bool = False, dry_run: bool = False) -> Pushed:
        """Make the zone what the routes say; nothing is sent when it is that already.

        Raises:
            ProvisioningError: "route.server", "route.refused", as refuse_harm(), "route.busy": the zone changed again and again
                meanwhile, or "route.ignored". What was sent in messages before stands, each of them whole; push again to go on.
        """
        wanted = records(routes)
        messages = tries = 0
        left = None   # steps when the last message was taken
        held = self.read(routes.zone, key)
        steps = changes(held.rrsets, wanted)
        before, done = held.serial, tuple(steps)
        while True:
            cut_off = tuple(refuse_harm(steps, held.others, wanted, prune=prune))
            if dry_run or not steps:
                return Pushed(before, held.serial, done, messages, cut_off)
            if tries == TRIES:
                raise ProvisioningError(
                    "route.busy", f"{routes.zone}: somebody else changed it {TRIES} times meanwhile; push again")
            if left is not None and len(steps) >= left:
                raise ProvisioningError(
                    "route.ignored", f"{self.text}: took an update of {routes.zone}, and {len(steps)} names are as before")
            if self._update(_message(routes.zone, held.soa, key, steps), routes.zone):
                messages += 1
                left = len(steps)
            else:
                tries += 1
                left = None   # the zone is another now
            held = self.read(routes.zone, key)
            steps = changes(held.rrsets, wanted)

    def ask(self, name: str) -> Answer:
        """Ask what a device would: the addresses of an absolute name, as a resolver or the zone's own server gives them.

        Raises:
            ProvisioningError: "route.server": no answer; "route.refused": one that says neither addresses nor that there are none.
        """
        path, addresses = [name], []
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
            with self._faults(name):
                answer, _ = dns.query.udp_with_fallback(dns.message.make_query(name, kind), self._address, TIMEOUT_S, self._port)
            if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                raise ProvisioningError("route.refused", f"{self.text}: got {dns.rcode.to_text(answer.rcode())} for {name}")
            links = {one.name: one[0].target for one in answer.answer if one.rdtype == dns.rdatatype.CNAME}
            at = dns.name.from_text(name)
            path = [name]
            while at in links and len(path) <= len(links):
                at = links[at]
                path.append(_plain(at))
            addresses += sorted(rdata.address for one in answer.answer if one.rdtype == kind and one.name == at for rdata in one)
        return Answer(tuple(path), tuple(addresses), "")

    def _transfer(self, zone: dns.zone.Zone, key: dns.tsig.Key) -> None:
        """AXFR. dnspython's own loop takes answers that nobody has signed."""
        query, _ = dns.xfr.make_query(zone, serial=None, keyring=key)
        wire = query.to_wire()
        context, signed = None, False
        with socket.create_connection((self._address, self._port), TIMEOUT_S) as sock, \
                dns.xfr.Inbound(zone, dns.rdatatype.AXFR) as inbound, sock.makefile("rb") as file:
            sock.sendall(len(wire).to_bytes(2, "big") + wire)
            for _ in range(MAX_ZONE_MESSAGES):
                said = _whole(file, int.from_bytes(_whole(file, 2), "big"))
                answer = dns.message.from_wire(said, keyring=query.keyring, request_mac=query.mac, xfr=True, origin=zone.origin,
                                               tsig_ctx=context, multi=True)
                signed = answer.had_tsig
                if context is None and not signed:
                    _refuse_unsigned(answer)
                if inbound.process_message(answer):
                    break
                context = answer.tsig_ctx
            else:
                raise EOFError("a transfer without an end")
            if not signed:
                _refuse_unsigned(answer)

    def _update(self, message: dns.update.UpdateMessage, zone: str) -> bool:
        """Send an update; False: the zone is not the one that was read any more, and nothing was changed."""
        with self._faults(zone):
            answer = dns.query.tcp(message, self._address, TIMEOUT_S, self._port)
            if not answer.had_tsig:
                _refuse_unsigned(answer)
        if answer.rcode() == dns.rcode.NXRRSET:
            return False
        if answer.rcode() != dns.rcode.NOERROR:
            raise ProvisioningError(
                "route.refused", f"{self.text}: got {dns.rcode.to_text(answer.rcode())} for an update of {zone}, of which "
                                 "it took nothing; does its update-policy grant the key A, AAAA and CNAME?")
        return True

    @contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        try:
            yield
        except dns.xfr.TransferError as error:
            raise ProvisioningError(
                "route.refused", f"{self.text}: got {dns.rcode.to_text(error.rcode)} for {what}; does it serve that zone, "
                                 "and name the key in allow-transfer?") from None
        except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime, dns.message.UnknownTSIGKey) as error:
            raise ProvisioningError(
                "route.refused", f"{self.text}: got {type(error).__name__} for {what}; are the key, its name and its "
                                 "algorithm the server's, and both clocks right?") from None
        except (OSError, EOFError, dns.exception.DNSException) as error:
            text = str(error) or type(error).__name__
            raise ProvisioningError("route.server", f"{self.text}: got {text} for {what}, expected an answer") from None


def _message(
    zone: str, soa: SOA, key: dns.tsig.Key, steps: Sequence[tuple[Change, ...]],
) -> dns.update.UpdateMessage:
    """Build an update of as many steps as fit into a message."""
    while True:
        message = _built(zone, soa, key, (change for step in steps for change in step))
        try:
            if len(message.to_wire()) <= MAX_MESSAGE_BYTES or len(steps) == 1:
                return _built(zone, soa, key, (change for step in steps for change in step))   # a signature is made once
        except dns.exception.TooBig:
            pass
        steps = steps[:(len(steps) + 1) // 2]


def _built(zone: str, soa: SOA, key: dns.tsig.Key, planned: Iterable[Change]) -> dns.update.UpdateMessage:
    message = dns.update.UpdateMessage(zone, keyring=key)
    message.present(dns.name.empty, soa)
    planned = list(planned)
    for change in planned:
        for rrset in change.remove:
            message.delete(rrset.name, rrset.type)
    for change in planned:
        for rrset in change.add:
            values = [f"{value}." if rrset.type == "CNAME" else value for value in rrset.values]
            message.add(rrset.name, dns.rdataset.from_text("IN", rrset.type, rrset.ttl_s, *values))
    return message


def _value(rdata: dns.rdata.Rdata, zone: dns.zone.Zone) -> str:
    if isinstance(rdata, CNAME):
        return _plain(rdata.target.derelativize(zone.origin or dns.name.root))
    return str(cast(A | AAAA, rdata).address)


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


def _whole(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise EOFError("a connection that ended")
    return data


def _refuse_unsigned(answer: dns.message.Message) -> None:
    if answer.rcode() != dns.rcode.NOERROR:
        raise dns.xfr.TransferError(answer.rcode())   # type: ignore[no-untyped-call]
    raise EOFError("an answer without a signature")
