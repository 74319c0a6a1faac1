"""Where weights come from, and what is said about those that do not fit."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from uplift_toolkit.weights import WeightsError, load_strict, locate, read_state_dict

CONTENT = b"not really weights" * 100


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of one file, which counts its downloads; `/short` ends before its time."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.paths.append(self.path)
            known = self.path in ("/owner/name/resolve/main/model.safetensors", "/short")
            self.send_response(200 if known else 404)
            self.send_header("Content-Length", str(len(CONTENT) if known else 0))
            self.end_headers()
            if known:
                self.wfile.write(CONTENT[:100] if self.path == "/short" else CONTENT)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.paths = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("UPLIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def files(tmp_path):
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_hub_is_asked_once(hub, tmp_path):
    source, sha256 = "hub:owner/name/model.safetensors", hashlib.sha256(CONTENT).hexdigest()
    first = locate(source, sha256)
    assert first.read_bytes() == CONTENT
    assert locate(source, sha256) == first
    assert hub.paths == ["/owner/name/resolve/main/model.safetensors"]
    assert files(tmp_path) == [first.name]


def test_wrong_checksum_is_not_kept(hub, tmp_path):
    with pytest.raises(WeightsError, match=r"has SHA-256 .* \(expected: 00\)"):
        locate("hub:owner/name/model.safetensors", "00")
    assert files(tmp_path) == []


def test_download_that_ends_early_is_not_kept(hub, tmp_path):
    with pytest.raises(WeightsError, match=r"/short .*"):
        locate(f"{hub.url}/short")
    assert files(tmp_path) == []


def test_what_the_hub_does_not_have(hub):
    with pytest.raises(WeightsError, match=r"cannot be downloaded: Not Found"):
        locate("hub:owner/name/other.safetensors")


def test_sources_that_are_none(tmp_path):
    with pytest.raises(WeightsError, match=r"expected: hub:OWNER/NAME/FILE"):
        locate("hub:owner")
    with pytest.raises(WeightsError, match=r"expected: a file, an address or hub"):
        locate(str(tmp_path / "none.safetensors"))


def test_checksum_of_a_local_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    assert locate(str(path), hashlib.sha256(b"x").hexdigest()) == path
    with pytest.raises(WeightsError, match="SHA-256"):
        locate(str(path), "00")


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_state_dicts_of_both_formats(tmp_path, wrapper):
    state = nn.Linear(2, 3).state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 3}, tmp_path / "a.pth")
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        assert all(torch.equal(value, state[name]) for name, value in read_state_dict(path).items())


def test_a_file_that_is_no_state_dict(tmp_path):
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="expected: a state dict"):
        read_state_dict(tmp_path / "a.pth")


class Option:
    """Of a training script that is not installed here."""


def test_other_entries_of_a_checkpoint_are_not_run(tmp_path):
    state = nn.Linear(2, 3).state_dict()
    torch.save({"model_state_dict": state, "options": {"lr": Option(), "path": tmp_path}}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == ["weight", "bias"]
    (tmp_path / "b.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"b.pth cannot be read: "):
        read_state_dict(tmp_path / "b.pth")


def test_loading_is_strict():
    module, state = nn.Linear(2, 3), nn.Linear(2, 3).state_dict()
    load_strict(module, {**state, "head.weight": torch.zeros(1)}, "file", ignore=["head."])
    assert torch.equal(module.weight, state["weight"])
    with pytest.raises(WeightsError, match=r"^file: missing: bias \[3\]$"):
        load_strict(module, {"weight": state["weight"]}, "file")
    with pytest.raises(WeightsError, match=r"^file: surplus: head.weight \[1\]$"):
        load_strict(module, {**state, "head.weight": torch.zeros(1)}, "file")
    with pytest.raises(WeightsError, match=r"^file: missing: bias \[3\]; surplus: bais \[3\]$"):
        load_strict(module, {"weight": state["weight"], "bais": state["bias"]}, "file")
    with pytest.raises(WeightsError, match=r"of another shape: weight \[2, 3\] \(expected: \[3, 2\]\)"):
        load_strict(module, {**state, "weight": torch.zeros(2, 3)}, "file")
