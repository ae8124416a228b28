"""One download over HTTP: what is resumed, and hosts, mirrors and redirections that are broken or hostile."""

from __future__ import annotations

import contextlib
import gc
import io
import socketserver
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biggan_discovery.errors import UserError
from biggan_discovery.generators import download, transfer
from biggan_discovery.generators.download import MIRROR_VARIABLE
from biggan_discovery.generators.remote import REMOTE, RemoteFile
from biggan_discovery.generators.transfer import shown
from tests.hosting import NAME, WEIGHTS, WHOLE, Host, left, load
from tests.tiny import save_tiny_biggan


def break_off(host: Host, root: Path, kept: int = 100_000) -> None:
    """A download of the weights that ends too early, in all attempts of a command."""
    host.breaks = [kept, 0, 0, 0]
    with pytest.raises(UserError, match=r"was interrupted"):
        load()
    assert not (root / NAME / "pytorch_model.bin").exists()
    host.asked.clear()
    host.conditions.clear()


def other_weights(folder: Path) -> bytes:
    """Of the same size as those of the host."""
    folder = save_tiny_biggan(folder, seed=1, num_classes=1000, channel_width=4)
    return (folder / "pytorch_model.bin").read_bytes()


VALIDATORS = {
    "strong": ("ETag", '"one"'),
    "weak": ("ETag", 'W/"one"'),
    "unquoted": ("ETag", "one"),
    "none": ("ETag", ""),
    "date": ("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT"),
}


@pytest.mark.parametrize("conditional", [True, False], ids=["If-Range", "no If-Range"])
@pytest.mark.parametrize("validator", VALIDATORS)
def test_a_file_that_changed_is_never_mixed(
    host: Host, root: Path, tmp_path: Path, validator: str, conditional: bool
) -> None:
    host.version, host.conditional = VALIDATORS[validator], conditional
    break_off(host, root)
    before, host.files[WEIGHTS] = host.files[WEIGHTS], other_weights(tmp_path / "other")
    assert len(before) == len(host.files[WEIGHTS])
    if validator == "strong":
        host.version = ("ETag", '"two"')
    load()
    assert (root / NAME / "pytorch_model.bin").read_bytes() == host.files[WEIGHTS]
    assert left(root) == WHOLE
    if validator != "strong":
        assert host.asked_for(WEIGHTS) == [None]


@pytest.mark.parametrize("validator", VALIDATORS)
def test_only_a_strong_validator_resumes(host: Host, root: Path, validator: str) -> None:
    host.version = VALIDATORS[validator]
    break_off(host, root)
    load()
    resumes = validator == "strong"
    assert host.asked_for(WEIGHTS) == ["bytes=100000-" if resumes else None]
    assert host.conditions == ['"one"' if resumes else None]


@pytest.mark.parametrize("note", ["{}", "[]", '{"size": 1}', '{"size": 9e9, "etag": 3}', "[" * 100_000, '{"size": "'])
def test_a_broken_note_starts_over(host: Host, root: Path, note: str) -> None:
    break_off(host, root)
    (root / NAME / "pytorch_model.bin.part.json").write_text(note)
    load()
    assert host.asked_for(WEIGHTS) == [None]


NUMBERS = ["9" * 5000, "-1", "1e3", "", "10, 20", "٣", "0x10"]


# urllib3 leaves the socket to the garbage collector where it refuses the headers.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:9])
def test_lengths_that_are_no_numbers(host: Host, root: Path, number: str) -> None:
    host.headers = {"Content-Length": number.encode().decode("latin-1")}
    with pytest.raises(UserError, match=r"does not state the size|headers are invalid|was interrupted") as caught:
        load()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert left(root) <= {"config.json", "SHA256SUMS"}
    del caught
    gc.collect()


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:9])
def test_ranges_that_are_no_numbers_start_over(host: Host, root: Path, number: str) -> None:
    break_off(host, root)
    host.headers = {"Content-Range": f"bytes {number}-{number}/{number}".encode().decode("latin-1")}
    load()
    assert host.asked_for(WEIGHTS) == ["bytes=100000-", None]
    assert (root / NAME / "pytorch_model.bin").read_bytes() == host.files[WEIGHTS]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "location",
    [
        "http://[::1/x",
        "http://a..b/x",
        "http://a b/x",
        "http://:@/",
        "http://127.0.0.1:99999/x",
        "http://127.0.0.1:x/x",
        f"http://{'a' * 300}.example/x",
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "data:text/plain,x",
        "//",
        "\\\\host\\x",
    ],
)
def test_redirection_to_what_is_not_http(host: Host, location: str) -> None:
    host.location = location
    with pytest.raises(UserError, match=r"redirects|cannot reach|answered 404|was interrupted") as caught:
        load()
    assert "\n" not in str(caught.value)


def test_redirection_without_end(host: Host, root: Path) -> None:
    host.location = f"{host.address}/{WEIGHTS}"
    with pytest.raises(UserError, match="redirects without end"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}


def test_redirection_to_a_file_is_followed(host: Host, root: Path) -> None:
    host.files["elsewhere"] = host.files[WEIGHTS]
    host.location = "elsewhere"
    load()
    assert [name for name, _ in host.asked][1:] == [WEIGHTS, "elsewhere"]
    assert left(root) == WHOLE


def few_bytes(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(RemoteFile, "most", property(lambda _: most))


def test_chunks_without_end_are_stopped(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few_bytes(monkeypatch, 3_000_000)
    host.endless = True
    with pytest.raises(UserError, match=r"sends more than the 3\.0 MB that pytorch_model\.bin has at most"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}


def test_chunks_beyond_a_known_size_are_stopped(host: Host, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, weights = REMOTE[NAME].files
    files = (config, replace(weights, size=200_000))
    monkeypatch.setitem(REMOTE, NAME, replace(REMOTE[NAME], files=files))
    host.endless = True
    with pytest.raises(UserError, match=r"sends more than the 0\.2 MB"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}


def test_a_size_beyond_all_generators_is_refused(host: Host, root: Path) -> None:
    host.headers = {"Content-Length": str(10**12)}
    with pytest.raises(UserError, match=r"has 1000000\.0 MB, so it is another file"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}


def test_limits_are_above_every_published_file() -> None:
    files = [file for each in REMOTE.values() for file in each.files]
    assert all(file.most >= (file.size or 0) for file in files)
    assert all(2 * (each.about or 0) < each.files[-1].most or each.files[-1].size for each in REMOTE.values())


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "mirror",
    [
        "http://[::1",
        "http://a..b/x",
        "http://user:sécret@/x",
        "http://host:port/x",
        "http://host:99999999/x",
        f"http://{'a' * 100}.example/x",
        "http://exa mple/x",
        "http://host/\x1b[31m",
        "http://\ud800/x",
        "HTTP:/host",
        "file:///etc/passwd",
        "http://me:secret@[::1/x",
        "ftp://me:secret@host/x",
        "http://me:sec/ret@host/x",
    ],
)
def test_mirrors_that_are_no_addresses(mirror: str) -> None:
    with pytest.raises(UserError, match=r"the mirror '.*' \(BIGGAN_DISCOVERY_MIRROR\) should be an address") as caught:
        load(mirror=mirror)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    for part in ("secret", "sécret", "sec/ret"):
        assert part not in message


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=40), st.sampled_from(["", "http://", "https://", "http://u:p@", "//"]))
def test_any_mirror_is_an_address_or_a_user_error(text: str, scheme: str) -> None:
    try:
        said = list(map(shown, download._addresses(NAME, scheme + text).values()))
    except UserError as error:
        said = [str(error)]
    assert all(line.isprintable() for line in said)


@pytest.mark.parametrize("outcome", ["works", "refused", "gone", "broken"])
@pytest.mark.usefixtures("root")
def test_a_password_is_used_and_never_shown(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, outcome: str
) -> None:
    caplog.set_level("DEBUG", "biggan_discovery")
    address = host.address.replace("://", "://me:hunter2@")
    if outcome == "gone":
        address = "http://me:hunter2@127.0.0.1:9/x"
    elif outcome == "refused":
        host.statuses = [403]
    elif outcome == "broken":
        host.breaks = [1, 0, 0, 0]
    monkeypatch.setenv(MIRROR_VARIABLE, address)
    if outcome == "works":
        load()
        assert "Basic " in (host.authorizations[-1] or "")
    else:
        with pytest.raises(UserError, match="manually, save http://127") as caught:
            load()
        assert "hunter2" not in str(caught.value)
    assert "hunter2" not in caplog.text


def archive(compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        file.writestr("138k/G_ema.pth", bytes(range(256)) * 40)
        file.writestr("138k/state_dict.pth", b"state" * 300)
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_an_archive_is_whole_before_its_sum_is_recorded(host: Host, root: Path, compression: int) -> None:
    whole = archive(compression)
    half = bytearray(whole)
    half[len(whole) // 3] ^= 1
    for content in (bytes(half), whole[: len(whole) // 2] + archive()[len(whole) // 2 :][:-40], whole[:-30]):
        host.files["brock-128.zip"] = content
        with pytest.raises(UserError, match=r"it was deleted"):
            download.fetch("brock-128", root / "brock-128")
        assert left(root, "brock-128") == set()
    host.files["brock-128.zip"] = whole
    download.fetch("brock-128", root / "brock-128")
    assert left(root, "brock-128") == {"brock-128.zip", "SHA256SUMS"}


@settings(deadline=None, max_examples=100)
@given(place=st.integers(0, 256 * 40 - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_in_a_member_is_found(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    whole = bytearray(archive())
    path = tmp_path_factory.mktemp("zip") / "x.zip"
    whole[whole.index(bytes(range(256))) + place] ^= 1 << bit
    path.write_bytes(whole)
    with pytest.raises(UserError, match="is damaged"):
        download._check_members(path)


def test_an_archive_that_expands_without_end_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_MOST_EXPANDED", 1000)
    (tmp_path / "x.zip").write_bytes(archive(zipfile.ZIP_DEFLATED))
    with pytest.raises(UserError, match="more than any generator"):
        download._check_members(tmp_path / "x.zip")


def test_weights_with_a_damaged_member_are_refused(host: Host, root: Path) -> None:
    content = bytearray(host.files[WEIGHTS])
    content[len(content) // 2] ^= 1
    host.files[WEIGHTS] = bytes(content)
    with pytest.raises(UserError, match=r"member .* is damaged; it was deleted"):
        load()
    assert left(root) == {"config.json", "SHA256SUMS"}


H = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/0.9": b"<html>hello</html>",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "status without digits": b"HTTP/1.1 abc OK\r\n\r\n",
    "status of 5,000 digits": b"HTTP/1.1 " + b"2" * 5000 + b" OK\r\n\r\n",
    "status 999": b"HTTP/1.1 999 \x1b[31mred\r\nContent-Length: 0\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "redirection to nowhere": b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
    "redirection to no UTF-8": b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\nContent-Length: 0\r\n\r\n",
    "a range that nobody asked for": b"HTTP/1.1 206 P\r\nContent-Range: bytes 5-9/10\r\nContent-Length: 5\r\n\r\nabcde",
    "a long line": H + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": H + b"X: 1\r\n" * 1000 + b"\r\n",
    "two lengths": H + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "short body": H + b"Content-Length: 100\r\n\r\nabc",
    "negative length": H + b"Content-Length: -5\r\n\r\nabc",
    "chunk length of 5,000 digits": H + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\nabc",
    "chunk length without digits": H + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
    "negative chunk length": H + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    "short chunk": H + b"Transfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "chunks without an end": H + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "gzip that is none": H + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    "unknown transfer": H + b"Transfer-Encoding: rot13\r\n\r\nabc",
    "a strange ETag": H + b'ETag: "\xff\x00"\r\nContent-Length: 3\r\n\r\nabc',
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("answer", ANSWERS)
def test_any_answer_is_a_user_error_and_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(transfer, "_WAITS", (0.0,))
    monkeypatch.setattr(transfer, "_TIMEOUT", 1.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    class Raw(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            with contextlib.suppress(OSError):
                self.request.sendall(ANSWERS[answer])

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Raw) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        with pytest.raises(UserError) as caught:
            load(mirror=f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
        thread.join()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert left(root) <= {"config.json.part"}
    del caught
    gc.collect()
