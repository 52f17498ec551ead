"""Key, birth and certificate: the key is on flash before it is shown, and a refusal is never the end."""

import asyncio
import binascii
import unittest

from node.agent import enrol as module
from node.agent.credentials import Identity, own_certificate, renewal_due_s
from node.agent.enrol import Enrolment
from node.agent.http import Response
from node.agent.paths import CERT_PATH, KEY_PATH
from node.errors import FlashError, NetworkError, PeerError
from node.wire import der, p256
from node.wire.der import tlv
from node.wire.identity import birth_proof_holds
from tests.node.common import code_of, key
from tests.sim.memory import MemoryFiles
from tests.sim.network import RealClock, Zeros

DEVICE = "hall-0242ac110001"
DAY_S = 86400
NOW_S = 1795237512
BEGIN_S = 1793491200   # of `certificate`


def certificate(pub65, start=b"261101000000Z", end=b"270130000000Z"):
    """A certificate as far as the device reads one: 90 days, unsigned."""
    name = tlv(0x30)
    validity = tlv(0x30, tlv(0x17, start), tlv(0x17, end))
    public = tlv(0x30, tlv(0x30), tlv(0x03, b"\x00", pub65))
    info = tlv(0x30, tlv(0xA0, tlv(0x02, b"\x02")), tlv(0x02, b"\x01"), tlv(0x30), name, validity, name, public)
    return tlv(0x30, info, tlv(0x30), tlv(0x03, b"\x00"))


def certs_only(*certificates):
    signed = tlv(0x06, binascii.unhexlify("2a864886f70d010702"))
    inner = tlv(0x30, tlv(0x02, b"\x01"), tlv(0x31), tlv(0x30), tlv(0xA0, *certificates), tlv(0x31))
    return binascii.b2a_base64(tlv(0x30, signed, tlv(0xA0, inner)))


class Est:
    """The EST server's side of HttpClient."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    async def request(self, method, path, body, content_type, headers, cap):
        self.asked.append((method, path, body, content_type, headers))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Chance(Zeros):
    def urandom(self, n):
        return bytes(range(1, n + 1))


class Most:
    def urandom(self, n):
        return b"\xff" * n


class Forgetful(MemoryFiles):
    """Flash that keeps other bytes than it was given, without saying so."""

    def read(self, path):
        data = MemoryFiles.read(self, path)
        return data[:-1] + b"?" if data and path == KEY_PATH else data


class TestIdentity(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()

    def test_key_survives_a_reboot(self):
        first = Identity(self.files, Chance(), DEVICE)
        again = Identity(self.files, Zeros(), DEVICE)
        self.assertEqual((first.fresh, again.fresh), (True, False))
        self.assertEqual((first.d, first.pub65), (again.d, again.pub65))

    def test_key_that_flash_did_not_keep_is_never_shown(self):
        self.assertEqual(code_of(self, FlashError, Identity, Forgetful(), Chance(), DEVICE), "key.readback")

    def test_damaged_key_is_replaced_since_it_proves_nothing(self):
        self.files.write_atomic(KEY_PATH, b"\x30\x05nonsense")
        self.assertTrue(Identity(self.files, Chance(), DEVICE).fresh)

    def test_announcement_proves_the_key_and_shows_no_private_half(self):
        identity = Identity(self.files, Chance(), DEVICE)
        said = identity.announcement("hall")
        self.assertTrue(birth_proof_holds(DEVICE, said["key"], said["proof"]))
        self.assertNotIn(identity.d.to_bytes(32, "big"), binascii.unhexlify(said["key"] + said["proof"]))

    def test_request_for_a_certificate_is_base64_without_line_ends(self):
        body = Identity(self.files, Chance(), DEVICE).request()
        self.assertNotIn(b"\n", body)
        self.assertIn(DEVICE.encode(), binascii.a2b_base64(body))


class TestEnrolment(unittest.TestCase):
    def setUp(self):
        self.files = MemoryFiles()
        self.clock = RealClock()
        self.identity = Identity(self.files, Chance(), DEVICE)
        self.good = Response(200, {}, certs_only(certificate(key("issuing")[1]), certificate(self.identity.pub65)))

    def enrolment(self, *answers, renewing=None):
        self.est = Est(*answers)
        return Enrolment(DEVICE, self.files, self.clock, Zeros(), first=self.est, renewing=renewing or Est())

    def ask(self, *answers):
        return asyncio.run(self.enrolment(*answers).enrol())

    def test_certificate_is_kept_when_it_is_for_our_key(self):
        self.assertEqual(self.ask(self.good), 0)
        self.assertEqual(der.cert_public_key(self.files.read(CERT_PATH)), self.identity.pub65)
        method, path, _, content_type, headers = self.est.asked[0]
        self.assertEqual((method, path, content_type), ("POST", "/.well-known/est/simpleenroll", "application/pkcs10"))
        self.assertEqual(headers, (("Content-Transfer-Encoding", "base64"),))

    def test_refusal_before_the_birth_is_known_is_asked_again(self):
        self.assertGreater(self.ask(Response(403, {}, b"{}")), 0)
        self.assertIsNone(self.files.read(CERT_PATH))

    def test_retry_after_is_obeyed_up_to_a_day(self):
        self.assertGreaterEqual(self.ask(Response(202, {"retry-after": "7"}, b"")), 7000)
        self.assertLessEqual(self.ask(Response(429, {"retry-after": "999999999"}, b"")), 86400 * 1000 + 2001)

    def test_waits_grow_with_each_failure(self):
        enrolment = Enrolment(DEVICE, self.files, self.clock, Most(), first=Est(), renewing=Est())
        waits = [enrolment.wait_ms() for _ in range(9)]
        self.assertEqual(waits[:3], [2001, 4001, 8001])
        self.assertEqual(waits[-1], module.RETRY_CAP_MS + 1)

    def test_servers_date_sets_the_clock(self):
        self.ask(Response(403, {"date": "Sat, 21 Nov 2026 03:58:45 GMT"}, b""))
        self.assertEqual(self.clock.learned[0][0] // 1000, 1795233525)

    def test_answers_that_are_no_certificate_for_us_are_refused(self):
        for body in (b"", b"!!!!", b"MAA=", certs_only(certificate(key("other")[1])), certs_only(b"\x30\x00")):
            self.assertEqual(code_of(self, PeerError, own_certificate, body, self.identity.pub65), "enrol.answer")

    def test_certificate_of_another_key_is_as_none(self):
        self.files.write_atomic(CERT_PATH, certificate(key("other")[1]))
        self.assertFalse(self.enrolment().certified())
        self.files.write_atomic(CERT_PATH, b"rot")
        self.assertFalse(self.enrolment().certified())

    def test_task_announces_once_survives_faults_and_ends_up_certified(self):
        seen = []
        enrolment = self.enrolment(OSError(111), ValueError("certificate"), NetworkError("http.timeout", ""),
                                   Response(403, {}, b""), Response(200, {}, b"junk"), self.good)

        asyncio.run(enrolment.obtain(lambda: seen.append("birth"), lambda error: seen.append(type(error).__name__), lambda: None))
        self.assertEqual(seen, ["birth", "OSError", "ValueError", "NetworkError", "PeerError"])
        self.assertTrue(enrolment.certified())

    def at(self, day, *answers, state=None, chance=None):
        """Look at a certificate of 90 days `day` days into its life; gives the wait and the server's side."""
        if self.files.read(CERT_PATH) is None:
            self.files.write_atomic(CERT_PATH, certificate(self.identity.pub65))
        self.clock.unix_ms = lambda: (BEGIN_S + int(day * DAY_S)) * 1000
        renewing = Est(*answers)
        enrolment = Enrolment(DEVICE, self.files, self.clock, chance or Most(), first=Est(), renewing=renewing)
        state = {"waited": 1} if state is None else state
        return asyncio.run(enrolment.refresh(state, lambda error: None)), renewing, state

    def test_renewals_of_a_fleet_that_was_born_in_one_hour_are_spread_evenly_now_and_later(self):
        fleet = 2000
        for life_s in (365 * DAY_S + 3600, 90 * DAY_S, 7 * DAY_S):
            hours = {}
            for number in range(fleet):
                device = f"hall-0242ac{number:06x}"
                first_s = renewal_due_s(device, NOW_S, NOW_S + life_s)
                self.assertTrue(life_s * 7 // 12 - 2 <= first_s - NOW_S <= life_s * 3 // 4)
                again_s = renewal_due_s(device, first_s, first_s + life_s)
                for turn, at_s in enumerate((first_s, again_s)):
                    hours[turn, at_s // 3600] = hours.get((turn, at_s // 3600), 0) + 1
            fair = fleet * 3600 / (life_s / 6)
            self.assertLess(max(hours.values()), fair + 6 * fair**0.5 + 3)

    def test_certificate_is_renewed_at_its_own_moment_and_not_before(self):
        due_s = renewal_due_s(DEVICE, BEGIN_S, BEGIN_S + 90 * DAY_S)
        day = (due_s - BEGIN_S) / DAY_S
        self.assertEqual(self.at(1)[0], module.RENEW_CHECK_MS)
        wait_ms, renewing, _ = self.at(day - 60 / DAY_S)
        self.assertEqual(renewing.asked, [])
        self.assertTrue(0 < wait_ms <= 61_000)
        fresh = Response(200, {}, certs_only(certificate(self.identity.pub65, end=b"270230000000Z")))
        wait_ms, renewing, _ = self.at(day + 1 / DAY_S, fresh)
        self.assertEqual((wait_ms, renewing.asked[0][1]), (module.RENEW_CHECK_MS, "/.well-known/est/simplereenroll"))
        self.assertEqual(der.cert_validity(self.files.read(CERT_PATH))[1], BEGIN_S + 121 * DAY_S)

    def test_plant_that_comes_back_after_its_moment_asks_scattered_over_an_hour(self):
        state = {}
        wait_ms, renewing, state = self.at(80, state=state)
        self.assertEqual((wait_ms, renewing.asked), (module.RENEW_CHECK_MS + 1, []))
        self.assertEqual(self.at(80, Response(403, {}, b""), state=state)[1].asked[0][1], "/.well-known/est/simplereenroll")

    def test_certificate_that_ended_in_a_drawer_is_renewed_at_once(self):
        self.assertEqual(len(self.at(400, Response(403, {}, b""), state={})[1].asked), 1)

    def test_refused_renewals_come_ever_more_seldom_though_the_object_is_made_anew(self):
        waits, state = [], {"waited": 1}
        for _ in range(9):
            wait_ms, _, state = self.at(80, Response(403, {}, b""), state=state)
            waits.append(wait_ms)
        self.assertEqual(waits[:3], [60_001, 120_001, 240_001])
        self.assertEqual(waits[-1], module.RENEW_CHECK_MS + 1)
        ended = [self.at(400, OSError(111), state=state)[0] for _ in range(3)]
        self.assertEqual(ended[-1], module.ENDED_CAP_MS + 1)

    def test_without_the_time_of_day_nothing_is_asked_for_some_hours(self):
        self.files.write_atomic(CERT_PATH, certificate(self.identity.pub65))
        self.clock.unix_ms = lambda: 0
        self.assertEqual(asyncio.run(self.enrolment().renew({})), module.LOOK_MS)

    def test_failed_renewal_keeps_the_old_certificate(self):
        self.at(80, Response(403, {}, b""))
        self.assertEqual(self.files.read(CERT_PATH), certificate(self.identity.pub65))

    def test_key_generation_uses_all_its_chance(self):
        self.assertEqual(p256.keygen(Chance().urandom(32))[1], self.identity.pub65)


if __name__ == "__main__":
    unittest.main()
