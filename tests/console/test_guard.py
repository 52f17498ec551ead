"""Who is answered, and what a browser may do with the answer."""

import pytest

from host.console.guard import is_local


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:9", "[::1]", "[::1]:8000"])
def test_this_machines_own_names_are_answered(host, console):
    assert is_local(host)
    assert console.get("/api/overview", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example:8000", "127.0.0.2", "0.0.0.0:8000", "",
    "localhost:x", "user@localhost", "localhost:80:80", "[::1", "::1", "localhost.",
])
@pytest.mark.parametrize("path", ["/", "/api/overview", "/js/main.js", "/nothing"])
def test_a_rebound_name_gets_nothing(host, path, console):
    assert not is_local(host)
    answer = console.get(path, headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "console.host")


@pytest.mark.parametrize("path", ["/", "/style.css", "/js/main.js", "/api/overview", "/api/devices/x", "/nothing", "/api/sparks"])
def test_every_answer_forbids_loading_from_elsewhere_framing_and_guessing(path, console):
    headers = console.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


def test_the_page_is_asked_for_again_after_an_upgrade(console):
    assert console.get("/").headers["cache-control"] == "no-cache"
    assert console.get("/api/overview").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/../settings.py", "/..%2fsettings.py", "/js/../../app.py", "/%2e%2e/app.py", "/js", "/vendor/"])
def test_only_the_pages_own_files_are_served(path, console):
    assert console.get(path).status_code in (404, 405)


def test_no_page_of_the_framework_loads_scripts_from_elsewhere(console):
    assert console.get("/docs").status_code == 404
    assert console.get("/redoc").status_code == 404
    assert console.get("/api/openapi.json").json()["info"]["title"] == "Tenfold console"
