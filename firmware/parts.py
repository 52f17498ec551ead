"""The composition root's part that is in memory only while it is needed: what main.py uses once, or takes turns with.

Each function puts together one thing out of a main.Device, and lets go of it: what a thing needs for long are functions of others,
not of this module, and main.py keeps this module in no variable while it waits.
"""

import asyncio
import sys

import stub
from node.agent.scatter import phase_ms, place_in_ms, uniform

BOOT_COUNT_PATH = "/state/boot_count"
RESETS_PATH = "/state/resets"


def compose(device, classes, wrap_ms):
    """What lives as long as the boot, in its order: the radio before anything that takes chance for true.

    Args:
        device: has board, committed and wake. classes: of what stays; they stay with device.py.
        wrap_ms: where the board's ticks begin anew.
    """
    from node.agent import paths, reconfigure
    from node.wire import identity
    make_config, make_clock, make_metrics, make_ring, make_supervisor, make_turns = classes
    board, files = device.board, device.board.files
    device.config, device.config_name, device.config_trial = reconfigure.choose(files, _parser(make_config))
    config = device.config
    device.id = identity.device_id(config.product, board.mac)
    rtc = board.rtc(config.time_floor_s)
    device.clock = make_clock(board.raw_ticks_ms, wrap_ms, floor_s=config.time_floor_s, seen_s=rtc.seen_s, told=rtc.told)
    device.metrics = make_metrics()
    device.supervisor = make_supervisor(device.clock, board.chance, board.system, device.metrics)
    device.ring = make_ring(board.ring_device, overflow=config.overflow)
    device.ring.mount()
    device.tally = device.ring.tally   # of the boots before
    device.boot = _count_boot(device)
    device.net = board.net(("/trust/ca.der", paths.CERT_PATH, paths.KEY_PATH), config, device.clock, device.id)
    device.turns = make_turns(board.tls_sessions > 1, device.clock)
    device.turns.asked = device.wake
    device.journal = _journal(device)
    if device.boot_info.get("safe"):   # a stub of an earlier line knows no safe mode
        device.sample = _left_out


async def _left_out():
    """In the app's place in safe mode: it has crashed again and again, and takes the agent with it."""
    while True:
        await asyncio.sleep(3600)


def config_facts(device):
    from node.agent import reconfigure
    return {"config": device.config_name, "config_trial": device.config_trial,
            "config_failed": reconfigure.failed(device.board.files)}


def config_told(device):
    from node.agent import reconfigure
    reconfigure.heard(device.board.files)


def config_came(device, name, body):
    from node.agent import reconfigure
    from node.errors import FlashError, PeerError
    if name == device.config_name:
        return
    try:
        if not reconfigure.take(device.board.files, name, body, _parser(type(device.config))):
            return
    except (PeerError, FlashError) as error:
        device.board.system.log("config", str(error))
        return
    device.restart("config")


def config_judged(device, checked_in):
    from node.agent import reconfigure, trial
    files, clock = device.board.files, device.clock
    verdict, reason = reconfigure.judge(device.acked(), checked_in, device.read_something(), device.app_crashes(),
                                        clock.ticks_ms(), device.stalled_ms(), device.config.trial_s * 1000)
    if verdict == trial.CONFIRM:
        reconfigure.confirm(files)
        device.config_trial = False
        return True
    if verdict == trial.GIVE_UP:
        reconfigure.give_up(files, reason)
        device.restart("config: " + reason)
    return False


def _parser(make_config):
    from node import config
    return lambda site, delivered: config.parse(site, make_config(), delivered)


def _count_boot(device):
    """This boot's number: above every one that flash remembers, and on flash before anything bears it."""
    files, last = device.board.files, device.ring.last()
    boot = max(int(files.read(BOOT_COUNT_PATH) or b"0"), last[0] if last else 0) + 1
    files.write_atomic(BOOT_COUNT_PATH, str(boot).encode())
    resets = int(files.read(RESETS_PATH) or b"0")
    if device.board.system.reset_cause() != "soft":
        resets += 1
        files.write_atomic(RESETS_PATH, str(resets).encode())
    device.metrics.put("resets", resets)
    return boot


def _journal(device):
    from node.app.batcher import Journal
    from node.rows import schemas
    from node.wire.schema import schema_hash
    named = [(schema_hash(raw), raw) for raw in schemas(device.config)]
    return Journal(device.ring, device.boot, named, device.clock, device.committed)


def groups(device):
    from node.app.assembly import assemble
    return assemble(device.config, device.board.sources(device.id, device.config), device.journal, device.clock.ticks_ms(),
                    lambda period_ms: phase_ms(device.id, period_ms))


def uplink(device):
    import umqtt.simple as mqtt
    from node.agent.uplink import Uplink
    order = None
    if device.config.drain == "newest":
        from node.agent.newest import Newest
        order = Newest
    release = device.boot_info["release"]
    return Uplink(device.id, device.boot, device.config, net=device.net, mqtt=mqtt, ring=device.ring, clock=device.clock,
                  cursor=order, chance=device.board.chance, metrics=device.metrics,
                  release=(release.get("release", "0.0.0"), release.get("counter", 0)), on_ack=device.supervisor.heard,
                  schema_again=device.journal.announce, turns=device.turns, reason=device.link_reason, log=device.board.system.log)


def update(device, kept):
    from board import deltas
    from node.agent.floors import Floors
    from node.agent.slots import Slots
    from node.agent.update import Update
    board, config = device.board, device.config
    return Update(device.boot_info, device.id, config.model, sys.implementation._mpy & 0xFF,
                  slots=Slots(board.files, stub, device.boot_info["slot"]), files=board.files, floors=Floors(board.files),
                  clock=device.clock, trial_ms=config.trial_s * 1000, acked=device.acked,
                  stalled_ms=device.stalled_ms, app_crashes=device.app_crashes, restart=device.restart, log=board.system.log,
                  images=board.images, deltas=deltas, kept=kept)


def checkin(device, kept):
    from node.agent.checkin import CheckIn
    return CheckIn(server(device), device.clock, device.board.chance, device=device.id, boot=device.boot,
                   period_s=device.config.checkin_s, metrics=device.measured, missed=device.metrics.add,
                   heard=device.supervisor.heard, log=device.board.system.log, kept=kept)


def server(device):
    from node.agent.server import Server
    return Server(_http(device, device.config.ota_port, True), device.checkin_alive)


def first_wait_ms(device):
    """Spread over the whole period, since a whole plant may have come back at once; over an eighth of a trial, which ends soon, as
    safe mode does.
    """
    period_ms, trial_ms = device.config.checkin_s * 1000, device.config.trial_s * 1000
    if device.boot_info["trial"] or device.boot_info.get("safe"):
        return uniform(device.board.chance.urandom(4), min(period_ms, trial_ms // 8))
    return place_in_ms(device.id, device.clock.ticks_ms(), period_ms, device.board.chance.urandom(4))


def enrolment(device):
    from node.agent.enrol import Enrolment
    board, port = device.board, device.config.est_port
    return Enrolment(device.id, board.files, device.clock, board.chance, first=_http(device, port, False),
                     renewing=_http(device, port, True))


def _http(device, port, mutual):
    from node.agent.http import HttpClient
    return HttpClient(device.net, device.config.server(device.id), port, mutual)
