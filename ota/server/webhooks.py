"""Tells others of events: one task for each webhook of the settings, so that a slow one delays nobody.

An event is told at least once and in order; several processes take turns by a claim in the webhook's row, and one that dies in the
middle has told it perhaps, so receivers go by the event's id. A try that fails is made again after growing gaps (`host.webhook`).
Nothing here runs while a check-in waits: HTTP is asked on the event loop, the rows are read on threads of their own.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import Engine

from host.settings import SettingsError
from host.tls import client_context
from host.webhook import CLAIM_S, IDENT, SIGNATURE, TIMEOUT_S, TRIES, gap, read_secret, signature
from ota.rules import webhooks as rules
from ota.server.settings import Webhook
from ota.store import outbox
from ota.store.session import reading, writing

LOOK_S = 1.0        # between looks for new events
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Teller:
    """One webhook, with its key.

    Args:
        chance: gives 0..1, even; spreads tries.
    """

    hook: Webhook
    secret: bytes
    engine: Engine
    clock: Callable[[], float]
    chance: Callable[[], float]

    async def run(self, pool: ThreadPoolExecutor) -> None:
        """Tell events for ever; a fault of ours is logged and tried again."""
        verify = True if self.hook.ca_file is None else client_context(self.hook.ca_file)
        async with httpx.AsyncClient(verify=verify, timeout=TIMEOUT_S, trust_env=False) as http:
            while True:
                try:
                    while await self.tell(http, pool):
                        pass
                except Exception:
                    log.exception("webhook %s: it is tried again", self.hook.url)
                await asyncio.sleep(LOOK_S)

    async def tell(self, http: httpx.AsyncClient, pool: ThreadPoolExecutor) -> bool:
        """Tell the next event, if one is due; says whether there may be another."""
        loop = asyncio.get_running_loop()
        event = await loop.run_in_executor(pool, self.take)
        if event is None:
            return False
        error = await self._post(http, event) if rules.is_wanted(event["kind"], self.hook.events) else ""
        await loop.run_in_executor(pool, self.settle, event, error)
        return not error

    def take(self) -> dict[str, Any] | None:
        """Claim the next event; None when there is none, it is not due or another process has it."""
        now_s = self.clock()
        with reading(self.engine) as connection:
            state = outbox.state(connection, self.hook.url)
            event = outbox.next_for(connection, state["told"]) if state["due_s"] <= now_s else None
        if event is None:
            return None
        with writing(self.engine) as connection:
            return event if outbox.claim(connection, state, now_s + CLAIM_S) else None

    def settle(self, event: dict[str, Any], error: str) -> None:
        """Write what became of a try; after the last one the event is given up."""
        url = self.hook.url
        with writing(self.engine) as connection:
            state = outbox.state(connection, url)
            tries = state["tries"] + 1
            if not error:
                outbox.settle(connection, url, told=event["ident"], tries=0, due_s=0.0, error="")
            elif tries < TRIES:
                outbox.settle(connection, url, tries=tries, due_s=self.clock() + gap(tries, self.chance()), error=error[:200])
            else:
                log.error("webhook %s: event %d (%s) is given up: %s", url, event["ident"], event["kind"], error)
                outbox.settle(connection, url, told=event["ident"], tries=0, due_s=0.0, error=error[:200],
                              given_up=state["given_up"] + 1)

    async def _post(self, http: httpx.AsyncClient, event: dict[str, Any]) -> str:
        """Send an event; gives why it failed, or ""."""
        content = json.dumps({"id": event["ident"], "at_s": event["at_s"], "kind": event["kind"]} | event["body"]).encode()
        headers = {"Content-Type": "application/json", IDENT: str(event["ident"]),
                   SIGNATURE: signature(self.secret, int(self.clock()), content)}
        try:
            async with http.stream("POST", self.hook.url, content=content, headers=headers) as answer:   # what it says is not read
                return "" if answer.is_success else f"status {answer.status_code}"
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"


def tellers(hooks: tuple[Webhook, ...], engine: Engine, clock: Callable[[], float], chance: Callable[[], float]) -> list[Teller]:
    """Read the webhooks' keys, and have those that are new begin with the next event.

    Raises:
        SettingsError: a secret or a CA file is unusable, or a URL stands there twice.
    """
    urls = [hook.url for hook in hooks]
    if len(set(urls)) < len(urls):
        raise SettingsError("webhooks", "a URL twice", "each URL once")
    found = [Teller(hook, read_secret(hook.secret_file, "webhooks.secret_file"), engine, clock, chance) for hook in hooks]
    for hook in hooks:
        if hook.ca_file is not None:
            client_context(hook.ca_file)
    if hooks:
        with writing(engine) as connection:
            outbox.begin(connection, urls)
    return found
