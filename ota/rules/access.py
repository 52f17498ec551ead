"""Who may do what on the operators' API: the roles, what each call needs, and who may approve what another asked for.

Decides from values alone. `NEEDS` is the one list of doors: a call that has no line here is answered as if it did not exist, so
that a route which somebody adds is closed until somebody says who may use it. Who somebody is, is `server.people`'s to find out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do; each may all that the ones before it may."""

    VIEWER = "viewer"       # look
    OPERATOR = "operator"   # publish and command
    APPROVER = "approver"   # approve what another asked for, and give tokens


class About(StrEnum):
    """What a call is about: tells how it is held against the models of a token."""

    FLEET = "fleet"         # all models: not for a token that is for some
    ROLLOUT = "rollout"     # the one that `{ident}` names
    DEVICE = "device"       # the one that `{device}` names
    MANIFEST = "manifest"   # the published release that the body's `manifest` names
    NOTHING = "nothing"     # no model


@dataclass(frozen=True)
class Need:
    """What a call needs.

    Attributes:
        certificate: only for somebody who comes without a token: a stolen token must not make others.
    """

    role: Role
    about: About = About.FLEET
    certificate: bool = False


VIEW, OPERATE, APPROVE = (Need(role) for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER))
GIVE = Need(Role.APPROVER, certificate=True)

NEEDS: dict[tuple[str, str], Need] = {   # literal paths before those with a {name} in the same place
    ("PUT", "/admin/artifacts/{name}"): Need(Role.OPERATOR, About.NOTHING),
    ("GET", "/admin/releases"): VIEW,
    ("POST", "/admin/releases"): OPERATE,
    ("GET", "/admin/releases/{manifest}"): VIEW,
    ("POST", "/admin/releases/{manifest}/retire"): OPERATE,
    ("GET", "/admin/roots"): VIEW,
    ("POST", "/admin/roots"): OPERATE,
    ("GET", "/admin/archive/audit"): VIEW,
    ("GET", "/admin/archive/objects"): VIEW,
    ("GET", "/admin/archive/objects/{name}"): VIEW,
    ("GET", "/admin/rollouts"): VIEW,
    ("POST", "/admin/rollouts"): Need(Role.OPERATOR, About.MANIFEST),
    ("GET", "/admin/rollouts/{ident}"): Need(Role.VIEWER, About.ROLLOUT),
    ("POST", "/admin/rollouts/{ident}/approve"): Need(Role.APPROVER, About.ROLLOUT),
    ("POST", "/admin/rollouts/{ident}/rollback"): OPERATE,
    ("POST", "/admin/rollouts/{ident}/{command}"): Need(Role.OPERATOR, About.ROLLOUT),
    ("GET", "/admin/devices"): VIEW,
    ("GET", "/admin/devices/{device}/explain"): Need(Role.VIEWER, About.DEVICE),
    ("GET", "/admin/devices/{device}/history"): Need(Role.VIEWER, About.DEVICE),
    ("GET", "/admin/labels"): VIEW,
    ("POST", "/admin/labels"): OPERATE,
    ("PUT", "/admin/sites/{site}"): OPERATE,
    ("GET", "/admin/devices/{device}/config"): Need(Role.VIEWER, About.DEVICE),
    ("POST", "/admin/devices/{device}/forgive"): Need(Role.OPERATOR, About.DEVICE),
    ("GET", "/admin/configs"): VIEW,
    ("POST", "/admin/configs"): OPERATE,
    ("GET", "/admin/configs/{name}"): VIEW,
    ("POST", "/admin/configs/{name}/order"): OPERATE,
    ("GET", "/admin/versions"): VIEW,
    ("GET", "/admin/metrics/devices"): VIEW,
    ("GET", "/admin/metrics/totals"): VIEW,
    ("GET", "/admin/metrics/links"): VIEW,
    ("POST", "/admin/metrics/links"): OPERATE,
    ("DELETE", "/admin/metrics/links"): OPERATE,
    ("GET", "/admin/whoami"): Need(Role.VIEWER, About.NOTHING),
    ("GET", "/admin/openapi.json"): Need(Role.VIEWER, About.NOTHING),
    ("GET", "/admin/tokens"): VIEW,
    ("POST", "/admin/tokens"): GIVE,
    ("POST", "/admin/tokens/{ident}/revoke"): GIVE,
    ("GET", "/admin/audit"): VIEW,
    ("GET", "/admin/webhooks"): VIEW,
}
_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True)
class Door:
    """A call that exists: its path as written in `NEEDS`, the names in it, and what it needs."""

    path: str
    names: dict[str, str]
    need: Need


def door(method: str, path: str) -> Door | None:
    """Find what a call needs; None when there is no such call."""
    for (wanted, template), need in NEEDS.items():
        found = _PATTERNS[template].fullmatch(path) if wanted == method else None
        if found:
            return Door(template, found.groupdict(), need)
    return None


def is_path(path: str) -> bool:
    """Tell whether a path exists, for whatever method."""
    return any(pattern.fullmatch(path) for pattern in _PATTERNS.values())


def is_enough(role: Role, need: Need) -> bool:
    """Tell whether a role may make a call."""
    return _RANK[role] >= _RANK[need.role]


def covers(scope: Iterable[str], models: Iterable[str]) -> bool:
    """Tell whether a token for some models may touch what concerns these; one without models may touch everything."""
    wanted = set(scope)
    return not wanted or set(models) <= wanted


def is_second(asked: Iterable[str], approves: Iterable[str]) -> bool:
    """Tell whether somebody is another person than the one who asked.

    Both are all the names that stand behind a call: of the certificate, and of who gave the token. One name in common is the same
    person, or may be.
    """
    return set(asked).isdisjoint(approves)


_PATTERNS = {path: re.compile(re.sub(r"\{([a-z]+)\}", r"(?P<\1>[^/]+)", path.replace(".", r"\."))) for _, path in NEEDS}
