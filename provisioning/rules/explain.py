"""What a refusal means and what an operator does about it, by its code.

Words only; a device is told the code alone. Who may have what is decided elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """What happened, and the next step."""

    means: str
    do: str


EXPLANATIONS: Mapping[str, Explanation] = {
    "enrol.no_birth": Explanation(
        "the ledger has no birth record of this device",
        "let the line's station enter it; the device asks again by itself"),
    "enrol.other_key": Explanation(
        "it shows another key than its birth record's: its flash was erased, or somebody else uses its id",
        "find out which; for an erased device: tenfold ca rebirth DEVICE --why …, then let a station hear it"),
    "enrol.other_subject": Explanation(
        "it showed one device's certificate and asked for another's",
        "look for a copied certificate; revoke the device that it is of"),
    "enrol.revoked": Explanation(
        "the device, or the certificate that it shows, was revoked",
        "nothing, if that was meant; a revocation is for ever, and a device of that id never comes back"),
    "enrol.lot_revoked": Explanation("its whole lot was revoked", "nothing, if that was meant; a revocation is for ever"),
    "enrol.shelf_life": Explanation(
        "it enrols for the first time more than three years after its lot's end, and waits for an operator's word",
        "see where it comes from; then tenfold enrol allow DEVICE --why …, and it has its certificate within the hour"),
    "enrol.busy": Explanation(
        "more devices asked at once than are served at a time", "nothing: they come again in some seconds, scattered"),
    "enrol.key_away": Explanation(
        "the issuing CA's key in its HSM cannot be used now", "see the server's log and the HSM; devices come again by themselves"),
    "enrol.too_many": Explanation(
        "it got 24 certificates in a day, so it does not keep them",
        "wait a day; if it comes again, its flash cannot be written or somebody else has its key"),
    "enrol.no_certificate": Explanation(
        "it renews, or is a station, and shows no certificate",
        "see that no proxy stands between: TLS must end at the enrolment server"),
    "enrol.size": Explanation("the request is empty or too large", "see what sends it: it is none of our firmware"),
    "station.certificate": Explanation(
        "what a station elsewhere shows is no station's certificate, is not in the ledger, or does not hold now",
        "issue it: tenfold ca issue st.STATION --csr …; the partner puts it into the station's folder as station.pem"),
    "station.busy": Explanation(
        "a station asks more often than station_per_min allows", "nothing, once; if it goes on, see what is at that bench"),
    "tls.revoked": Explanation(
        "the certificate that it shows was revoked",
        "nothing, if that was meant; a station that goes on is given another: tenfold ca issue st.STATION --csr …"),
    "enrol.encoding": Explanation("the request is neither base64 nor DER", "see what sends it: it is none of our firmware"),
    "enrol.csr": Explanation("the request is no PKCS#10", "see what sends it: it is none of our firmware"),
    "enrol.key": Explanation("the key is not P-256", "make the key as the firmware does, or with openssl ecparam -name prime256v1"),
    "enrol.proof": Explanation("the request's signature does not hold", "see what changed it on its way"),
    "enrol.subject": Explanation("the request names something else than one device", "ask for exactly CN=<device id>"),
    "birth.format": Explanation(
        "the line on the console is no birth announcement", "flash the board's firmware and start it again"),
    "birth.proof": Explanation("the board does not prove its key", "start it again; a second time: put it aside"),
    "birth.signature": Explanation(
        "the birth record is not signed by its lot's station", "use the station that the lot was opened for"),
    "birth.lot": Explanation("the birth record names another lot", "use the station that the lot was opened for"),
    "birth.lot_unknown": Explanation("no such lot was opened", "open the lot"),
    "birth.lot_revoked": Explanation("the lot was revoked", "open a new lot with a new station key"),
    "birth.station_revoked": Explanation(
        "the lot's station was revoked: no more births; what it had born before stays",
        "find the station; open a new lot with a new station key"),
    "birth.revoked": Explanation(
        "the device was revoked, or the lot that it is of", "nothing: a revocation is for ever, no word takes it back"),
    "birth.lot_expired": Explanation("the lot's end has come", "open a new lot"),
    "birth.quota": Explanation("the lot has as many births as it may", "count the boards; then open a new lot"),
    "provisioning.second_identity": Explanation(
        "a device that was born shows another key: its flash was erased, or it is a copy",
        "find out which; for an erased device: tenfold ca rebirth DEVICE --why …, then let a station hear it"),
    "lot.exists": Explanation("a lot of that name was opened with other values", "choose a new name"),
    "revoke.kind": Explanation("no such kind of thing is revoked", "revoke a lot, a device or a certificate"),
    "revoke.unknown": Explanation("the ledger holds no such thing", "see what it holds: tenfold ca show"),
    "ca.name": Explanation(
        "the name does not fit the kind of certificate", "svc.<word>, op.<word> or st.<station>; hosts for servers only"),
    "ca.key": Explanation(
        "the key is not P-256", "make one with openssl ecparam -name prime256v1, or let tenfold ca issue make it"),
    "ca.issuer": Explanation(
        "the certificate would outlive the CA that signs it", "fewer --days, or a new issuing CA: tenfold ca init"),
    "ca.exists": Explanation(
        "the folder has an issuing CA already", "name a new folder: servers go on trusting the old one beside it"),
    "ca.unprotected": Explanation("a CA key would lie in a plain file", "give a passphrase, or keep the key in an HSM"),
    "ca.request": Explanation("the request is for another name", "have the holder ask for exactly the name that is issued"),
    "ca.code": Explanation("no refusal has this code", "see the code in the log or in what the command told"),
}
