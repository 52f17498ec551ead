"""Those who are told: webhooks and whatever Apprise reaches.

Decides how one notice is put to one target, once; when it is tried again is sender.py's. A URL may hold a password: it is in no
message, no log and no database, targets have names for that.
"""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from host import webhook
from host.monitor.alerting.rules import SEVERITIES
from host.monitor.alerting.settings import AlertSettings, AppriseTarget, WebhookTarget
from host.settings import SettingsError
from host.tls import client_context

Body = dict[str, Any]
KINDS = {"info": "info", "warning": "warning", "critical": "failure"}   # severity -> Apprise's kind


class Target(Protocol):
    """Somebody who is told."""

    @property
    def name(self) -> str: ...

    @property
    def least(self) -> str: ...

    def send(self, ident: str, body: Body) -> str:
        """Tell one notice; gives why it failed, without any secret, or ""."""


def wants(target: Target, severity: str) -> bool:
    """Tell whether a target is told of a severity."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(target.least)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook with its key; `clock` gives Unix seconds."""

    name: str
    least: str
    url: str
    secret: bytes
    http: httpx.Client
    clock: Callable[[], float] = time.time

    def send(self, ident: str, body: Body) -> str:
        content = json.dumps({"id": ident} | body).encode()
        headers = {
            "Content-Type": "application/json", webhook.IDENT: ident,
            webhook.SIGNATURE: webhook.signature(self.secret, int(self.clock()), content),
        }
        try:
            with self.http.stream("POST", self.url, content=content, headers=headers) as answer:   # what it says is not read
                return "" if answer.is_success else f"status {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__ + ": " + _without_urls(str(error), self.url)


@dataclass(frozen=True, slots=True)
class Apprise:
    """One URL of Apprise."""

    name: str
    least: str
    notifier: Any

    def send(self, ident: str, body: Body) -> str:
        kind = "success" if body["kind"] == "alert.resolved" else KINDS[body["severity"]]
        try:
            done = self.notifier.notify(title=body["title"], body=f"{body['text']}\nnotice {ident}", notify_type=kind)
        except Exception as error:   # a hundred services' code, which may raise anything
            return f"apprise: {type(error).__name__}"   # its words may hold the URL
        return "" if done else "apprise: the service did not take it"


def make_targets(settings: AlertSettings) -> list[Target]:
    """Make all targets, with their secrets.

    Raises:
        SettingsError: a file is missing, open to others or unusable; or Apprise is not installed.
    """
    made: list[Target] = [_webhook(each) for each in settings.webhooks]
    for each in settings.apprise:
        made += _apprise(each)
    names = [each.name for each in made]
    if len(set(names)) < len(names):
        raise SettingsError("apprise.name", "a name that another target has", "each target's own (several URLs get -1, -2 …)")
    return made


def _webhook(told: WebhookTarget) -> Webhook:
    verify = True if told.ca_file is None else client_context(told.ca_file)
    secret = webhook.read_secret(told.secret_file, "webhooks.secret_file")
    # No redirects: a signed body goes where the operator said. No proxies or .netrc from the environment.
    http = httpx.Client(verify=verify, timeout=webhook.TIMEOUT_S, trust_env=False, follow_redirects=False)
    return Webhook(told.name, told.least, told.url, secret, http)


def _apprise(told: AppriseTarget) -> list[Target]:
    lines = webhook.private_lines(told.urls_file, "apprise.urls_file")
    urls = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip() and not line.lstrip().startswith("#")]
    if not urls:
        raise SettingsError("apprise.urls_file", f"{told.urls_file} without a URL", "Apprise URLs, one a line")
    try:
        import apprise  # noqa: PLC0415  slow to import, and only for those who use it
    except ImportError:
        raise SettingsError("apprise", "Apprise is not installed", "it installed: pip install 'tenfold[host]'") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)   # its lines hold URLs
    made: list[Target] = []
    for place, (number, url) in enumerate(urls, 1):
        notifier = apprise.Apprise()
        if not notifier.add(url):
            raise SettingsError("apprise.urls_file", f"line {number} of {told.urls_file}, which Apprise does not understand",
                                "an Apprise URL, e.g. mailtos://user:password@example.com")
        made.append(Apprise(told.name if len(urls) == 1 else f"{told.name}-{place}", told.least, notifier))
    return made


def _without_urls(words: str, url: str) -> str:
    """Take URLs out of an error's words: their paths and queries may be secrets."""
    return re.sub(r"[a-z]+://\S+", "(url)", words.replace(url, "(url)"))[:200]
