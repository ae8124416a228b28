"""Who is let in, and what pages may load."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from biggan_discovery.explorer.access import user_token
from biggan_discovery.explorer.app import STATIC
from tests.explorer.serving import TOKEN, Served


def test_the_page_and_its_parts_are_served(served: Served) -> None:
    page = served.get()
    assert page.status == 200
    text = page.content.decode()
    for line in text.splitlines():
        assert "http:" not in line
        assert "https:" not in line
    for file in STATIC.iterdir():
        part = served.get(f"static/{file.name}")
        assert part.status == 200
        assert part.content == file.read_bytes()
    assert served.get("static/main.js").headers["content-type"].startswith("text/javascript")


def test_nothing_is_loaded_from_elsewhere_nor_shown_elsewhere(served: Served) -> None:
    headers = served.get().headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/wrong/", "/wrong/socket", f"/{TOKEN[:-1]}/", f"/{TOKEN}x/static/main.js"])
def test_without_the_token_nothing_is_served(served: Served, path: str) -> None:
    answer = served.get(path)
    assert answer.status == 403
    assert b"token" in answer.content


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", ""])
def test_foreign_hosts_are_refused(served: Served, host: str) -> None:
    assert served.get(headers={"Host": host}).status in (400, 403)
    with pytest.raises(InvalidStatus), served.page(host=host or "x"):
        pass


def test_a_forwarded_port_is_this_machine(served: Served) -> None:
    assert served.get(headers={"Host": "localhost:9999"}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_foreign_origins_are_refused(served: Served, origin: str) -> None:
    assert served.get(headers={"Origin": origin}).status == 403
    with pytest.raises(InvalidStatus), served.page(origin=origin):
        pass


def test_a_socket_needs_the_token_too(served: Served) -> None:
    with pytest.raises(InvalidStatus), served.page(token="x"):
        pass
    with served.page(origin=f"http://127.0.0.1:{served.port}") as page:
        assert page.ask("open")["type"] == "opened"


@pytest.mark.parametrize(
    "path",
    ["static/../app.py", "static/%2e%2e%2fapp.py", "static/nothing.js", "strips/0/../../x", "strips/9/x.webp",
     "strips/0/%2e%2e%2fmeasured.json", "exports/../x", "exports/%2e%2e/%2e%2e", "nothing"],
)  # fmt: skip
def test_files_of_the_machine_are_not_served(served: Served, path: str) -> None:
    assert served.get(path).status in (403, 404)


def test_the_token_is_the_users_own_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    token = user_token()
    assert len(token) >= 22
    assert user_token() == token
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert file.stat().st_mode & 0o077 == 0
    file.chmod(0o644)  # Others may have read it.
    assert user_token() != token
    file.write_text("short")
    assert len(user_token()) >= 22
