"""The page loads nothing from elsewhere, all that it names is there, and what is vendored is what it says."""

import hashlib
import re
from pathlib import Path

import pytest

from host.console.app import STATIC

OURS = sorted(path for path in STATIC.rglob("*") if path.is_file() and path.parent.name != "vendor")
VENDOR = STATIC / "vendor"
NAMESPACE = "http://www.w3.org/2000/svg"


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_file_names_another_host(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace(NAMESPACE, "")
    assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text)
    assert "@import" not in text


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_nothing_is_built_from_text_as_markup(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
    if path.suffix == ".html":
        assert not re.search(r"\son[a-z]+=|\sstyle=|<style|<script(?![^>]*\ssrc=)", text)   # the policy would block it


def test_all_that_the_page_names_is_there() -> None:
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    names = re.findall(r'(?:href|src)="([^"#]+)"', html)
    assert names
    for name in names:
        assert (STATIC / name).is_file(), name


@pytest.mark.parametrize("path", sorted((STATIC / "js").glob("*.js")), ids=lambda path: path.name)
def test_modules_import_what_others_export(path: Path) -> None:
    for names, place in re.findall(r'^import (?:\{([^}]*)\}|\w+) from "([^"]+)";', path.read_text(encoding="utf-8"), re.M):
        source = (path.parent / place).resolve().read_text(encoding="utf-8")
        for name in filter(None, (part.split(" as ")[0].strip() for part in names.split(","))):
            assert re.search(rf"export (?:async )?(?:function|const|class|let) {re.escape(name)}\b", source), f"{name} from {place}"


def test_ids_that_scripts_ask_for_exist() -> None:
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    scripts = "".join(path.read_text(encoding="utf-8") for path in (STATIC / "js").glob("*.js"))
    known = set(re.findall(r'\bid="([^"]+)"', html)) | set(re.findall(r'\bid: "([^"]+)"', scripts))
    assert set(re.findall(r'getElementById\("([^"]+)"\)', scripts)) <= known


def test_what_is_vendored_is_what_its_readme_says() -> None:
    listed = dict(re.findall(r"^\| `([^`]+)` \| `([0-9a-f]{64})` \|$", (VENDOR / "README.md").read_text(encoding="utf-8"), re.M))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.name != "README.md"}
    assert listed == found


def test_both_themes_define_the_same_colours() -> None:
    css = (STATIC / "style.css").read_text(encoding="utf-8")
    light, dark = (set(re.findall(r"(--[\w-]+):", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S))
    assert light - dark == {"--mono"}
    assert dark <= light
