"""Addresses on the Hub, against a stand-in of it."""

from __future__ import annotations

import builtins
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from biggan_discovery import Directions, load_generator
from biggan_discovery.directions import changing
from biggan_discovery.directions.directions import is_directions_file
from biggan_discovery.errors import UserError
from biggan_discovery.generators import hub as module
from biggan_discovery.generators.hub import Address, beside, is_address
from tests.brock_tiny import save_tiny_brock
from tests.cli.console import Console
from tests.explorer.serving import save_directions
from tests.hub import Hub, serving, use
from tests.tiny import save_tiny_biggan

pytest.importorskip("huggingface_hub")
REPO = "someone/cones"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.chdir(tmp_path)
    with serving() as hub:
        use(hub, tmp_path / "cache", monkeypatch)
        hub.add(REPO, save_directions(tmp_path))
        yield hub


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://a/b", Address("a/b")),
        ("hf://a/b/", Address("a/b")),
        ("hf://a/b/c.safetensors", Address("a/b", None, "c.safetensors")),
        ("hf://a/b/c/d.pth", Address("a/b", None, "c/d.pth")),
        ("hf://a/b.c@v1/d", Address("a/b.c", "v1", "d")),
        (Path("hf://a/b/c.safetensors"), Address("a/b", None, "c.safetensors")),  # It has one slash less.
    ],
)
def test_addresses(text: str | Path, address: Address) -> None:
    assert is_address(text)
    assert Address.read(text) == address
    assert Address.read(str(address)) == address


def test_only_a_refused_connection_means_that_nobody_is_there(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._takes_connections(hub.address)
    module._connect.cache_clear()  # The next one may be given the same port.
    with serving() as gone:
        pass
    assert not module._takes_connections(gone.address)
    assert module._takes_connections("unknown://host")
    monkeypatch.setattr(module, "_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert module._takes_connections(f"http://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.parametrize(
    "text", ["hf://a", "hf://", "hf://a/b/../../c", "hf:///a/b", "hf://a/b\0", "hf://a b/c", "hf://a/b/c\\d"]
)
def test_what_is_no_address_is_said(text: str) -> None:
    assert is_address(text)
    with pytest.raises(UserError, match=r"write hf://user/repo/file"):
        Address.read(text)
    with pytest.raises(UserError, match="address"):
        Directions.load(text)
    with pytest.raises(UserError, match="address"):
        load_generator(text, device="cpu")


def test_directions_are_read_and_kept_in_the_cache(hub: Hub, tmp_path: Path) -> None:
    here = Directions.load(tmp_path / "found.safetensors")
    found = Directions.load(f"hf://{REPO}/found.safetensors")
    assert torch.equal(found.Q, here.Q)
    assert found.source == f"hf://{REPO}/found.safetensors"
    assert is_directions_file(f"hf://{REPO}/found.safetensors")
    Directions.load(f"hf://{REPO}@{hub.commit(REPO)}/found.safetensors")
    assert sum(each.startswith("GET") and "resolve" in each for each in hub.asked) == 1
    hub.add(REPO, tmp_path / "found.safetensors", folder="more/")
    hub.repos[REPO]["directions.safetensors"] = hub.repos[REPO]["found.safetensors"]
    assert Directions.load(f"hf://{REPO}").source == f"hf://{REPO}/directions.safetensors"


def test_without_a_connection_what_was_downloaded_is_read(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    Directions.load(f"hf://{REPO}/found.safetensors")
    monkeypatch.setenv("BIGGAN_DISCOVERY_OFFLINE", "1")
    hub.asked.clear()
    Directions.load(f"hf://{REPO}/found.safetensors")
    with pytest.raises(UserError, match="not downloaded yet, and downloads are off"):
        Directions.load(f"hf://{REPO}/others.safetensors")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hf://someone/nothing/found.safetensors", "no repository someone/nothing on http.*private"),
        (f"hf://{REPO}/fuond.safetensors", "no file 'fuond.safetensors' .did you mean 'found.safetensors'"),
        (f"hf://{REPO}", "no file 'directions.safetensors'"),
        (f"hf://{REPO}@v9/found.safetensors", "no revision 'v9'"),
        (f"hf://{REPO}/foreign.safetensors", "not a directions file, or is damaged"),
    ],
)
def test_what_is_wrong_is_one_line(hub: Hub, address: str, said: str) -> None:
    hub.repos[REPO]["foreign.safetensors"] = b"no safetensors at all"
    with pytest.raises(UserError, match=said) as caught:
        Directions.load(address)
    assert "\n" not in str(caught.value)


def test_private_repositories_are_read_with_a_token_only(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.private.add(REPO)
    Directions.load(f"hf://{REPO}/found.safetensors")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(UserError, match="private"):
        Directions.load(f"hf://{REPO}/others.safetensors")


def test_a_huge_file_is_not_downloaded(hub: Hub) -> None:
    hub.claimed["found.safetensors"] = 2**40
    with pytest.raises(UserError, match=r"1,024\.0 GiB; at most 768 MiB are read"):
        Directions.load(f"hf://{REPO}/found.safetensors")
    assert not any(each.startswith("GET /someone") for each in hub.asked)


@pytest.mark.parametrize("folder", ["", "networks/tiny/"])
def test_generators_are_loaded_by_address(hub: Hub, tmp_path: Path, folder: str) -> None:
    local = save_tiny_biggan(tmp_path / "tiny-deep")
    hub.add("someone/gan", *local.iterdir(), folder=folder)
    address = f"hf://someone/gan/{folder}".rstrip("/")
    generator = load_generator(address, device="cpu")
    same = load_generator(local, device="cpu")
    z, y = torch.randn(1, same.z_dim), torch.tensor([1])
    assert torch.equal(generator(z, y), same(z, y))
    assert generator.name == address
    assert generator.class_names == same.class_names
    directions = Directions(torch.eye(2, same.z_dim), metadata={"generator": address, "generator_sha256": same.sha256})
    directions.save("far.safetensors")


def test_weights_of_brock_s_code_are_loaded_by_their_file(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = save_tiny_brock(tmp_path / "tiny-brock")
    hub.add("someone/gan", *local.iterdir())
    generator = load_generator("hf://someone/gan/G_ema.pth", device="cpu")
    assert generator.z_dim == load_generator(local, device="cpu").z_dim
    monkeypatch.setenv("BIGGAN_DISCOVERY_OFFLINE", "1")
    hub.asked.clear()
    load_generator("hf://someone/gan", device="cpu")
    assert hub.asked == []


def test_a_repository_without_weights_and_python_code_are_refused(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "gan.py").write_text("raise SystemExit('it was run')\n")
    hub.add("someone/gan", tmp_path / "gan.py")
    for address in ("hf://someone/gan", "hf://someone/gan/gan.py:G"):
        with pytest.raises(UserError, match="has no generator"):
            load_generator(address, device="cpu")


@pytest.mark.usefixtures("hub")
def test_results_are_named_after_the_address(console: Console, tmp_path: Path) -> None:
    out = ("--only", "0", "--samples", "1", "--format", "png", "--path-size", "2", "--quiet")
    console("visualize", f"hf://{REPO}/found.safetensors", *out)
    assert (tmp_path / "found.png").is_file()
    assert not (tmp_path / "hf:").exists()
    assert str(beside("hf://someone/cones")) == "cones"


@pytest.mark.usefixtures("hub")
def test_it_is_not_changed_there() -> None:
    with pytest.raises(UserError, match="is on the Hub; change a copy"), changing(f"hf://{REPO}/found.safetensors"):
        pass


def test_without_the_library_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(name: str, *arguments: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ModuleNotFoundError(name)
        return real(name, *arguments)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        Directions.load(f"hf://{REPO}/found.safetensors")
