"""Where weights come from, and what is said about those that do not fit."""

import contextlib
import hashlib
import threading
import urllib.error
import urllib.request
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from uplift_toolkit import weights
from uplift_toolkit.weights import WeightsError, load_strict, locate, read_state_dict

CONTENT = b"not really weights" * 100
PATHS = ("/cdn/model.safetensors", "/broken", "/always-broken", "/busy", "/no-ranges", "/another-part")
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Hub(HTTPServer):
    """One file, at several addresses that each have a difficulty; requests as (path, range, token)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.etag = '"one"'
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        hub = self.server
        asked = self.headers.get("Range")
        hub.requests.append((self.path, asked, self.headers.get("Authorization")))
        times = sum(path == self.path for path, _, _ in hub.requests)
        if self.path == "/owner/name/resolve/main/model.safetensors":
            return self.answer(302, {"Location": "/moved"}, b"")
        if self.path == "/moved":
            return self.answer(301, {"Location": f"{hub.url}/cdn/model.safetensors"}, b"")
        if self.path == "/busy" and times == 1:
            return self.answer(503, {}, b"")
        if self.path in ("/endless", "/huge"):
            self.send_response(200)
            if self.path == "/huge":
                self.send_header("Content-Length", str(1 << 50))
            self.end_headers()
            return self.pour()
        if self.path == "/file":
            return self.answer(302, {"Location": "file:///etc/hostname"}, b"")
        if self.path == "/ftp":
            return self.answer(302, {"Location": "ftp://127.0.0.1/x"}, b"")
        if self.path == "/rude":
            self.send_response(404, "No\x1b[2J")
            return self.end_headers()
        if self.path == "/another-part" and asked:
            return self.answer(206, {"Content-Range": "bytes 7-8/9"}, b"xx")
        if self.path == "/gated":
            return self.answer(403, {}, b"")
        if self.path not in PATHS:
            return self.answer(404, {}, b"")
        start = 0
        if asked == f"bytes={len(CONTENT)}-":
            return self.answer(416, {}, b"")
        if asked and self.path != "/no-ranges" and self.headers.get("If-Range") == hub.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = CONTENT[start:]
        headers = {"ETag": hub.etag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        breaks = self.path == "/always-broken" or (
            self.path in ("/broken", "/no-ranges", "/another-part") and times == 1
        )
        self.answer(206 if start else 200, headers, body, body[:100] if breaks else body)

    def answer(self, status, headers, body, sent=None):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if sent is None else sent)

    def pour(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            for _ in range(64):
                self.wfile.write(bytes(1 << 20))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("UPLIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("UPLIFT_OFFLINE", "UPLIFT_MAX_DOWNLOAD_GIB", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(weights, "PAUSE_SECONDS", 0)
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,))
    thread.start()
    yield hub
    hub.shutdown()
    thread.join()
    hub.server_close()


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_hub_is_asked_once_and_followed(hub, tmp_path, capsys):
    source = "hub:owner/name/model.safetensors"
    first = locate(source, SHA256)
    assert first.read_bytes() == CONTENT
    assert f"SHA-256 {SHA256}" in capsys.readouterr().err
    assert locate(source, SHA256) == first
    assert [path for path, _, _ in hub.requests] == [
        "/owner/name/resolve/main/model.safetensors",
        "/moved",
        "/cdn/model.safetensors",
    ]
    assert files(tmp_path) == [first.name]


def test_a_token_stays_with_the_hub(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    locate("hub:owner/name/model.safetensors")
    locate(f"{hub.url}/busy")
    assert [token for _, _, token in hub.requests] == ["Bearer secret", None, None, None, None]
    with pytest.raises(WeightsError, match=r"/gated cannot be downloaded: Forbidden \(HF_TOKEN gives"):
        locate(f"{hub.url}/gated")


def test_a_token_does_not_travel_in_the_open(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("HF_ENDPOINT", "http://mirror.example")
    with pytest.raises(WeightsError, match=r"HF_ENDPOINT: http://mirror.example \(expected: https"):
        locate("hub:owner/name/model.safetensors")


@pytest.mark.parametrize("path", ["endless", "huge"])
def test_a_download_has_a_largest_size(hub, tmp_path, monkeypatch, path):
    monkeypatch.setenv("UPLIFT_MAX_DOWNLOAD_GIB", "0.002")
    with pytest.raises(WeightsError, match=r"has more than 2147483 bytes \(expected: at most; UPLIFT_MAX"):
        locate(f"{hub.url}/{path}")
    assert files(tmp_path) == []
    assert len(hub.requests) == 1
    monkeypatch.setenv("UPLIFT_MAX_DOWNLOAD_GIB", "much")
    with pytest.raises(WeightsError, match=r"UPLIFT_MAX_DOWNLOAD_GIB: 'much' \(expected: a number"):
        locate(f"{hub.url}/{path}")


def test_plain_http_without_a_checksum_is_warned_about(hub, capsys):
    locate(f"{hub.url}/busy", SHA256)
    assert "plain http" not in capsys.readouterr().err
    locate(f"{hub.url}/broken")
    assert f"{hub.url}/broken: plain http, and no sha256 to check: " in capsys.readouterr().err


def test_redirects_stay_in_the_web(hub, tmp_path):
    for path in ("file", "ftp"):
        with pytest.raises(WeightsError, match=r"cannot be downloaded: .*[Rr]edirect"):
            locate(f"{hub.url}/{path}")
    asked = urllib.request.Request("https://hub.example/x")
    follow = weights._Redirects().redirect_request
    assert follow(asked, None, 302, "", {}, "https://cdn.example/x").full_url == "https://cdn.example/x"
    with pytest.raises(
        urllib.error.HTTPError, match=r"a redirect to http://cdn.example/x \(expected: to https"
    ):
        follow(asked, None, 302, "", {}, "http://cdn.example/x")


def test_another_part_than_was_asked_for_starts_over(hub):
    assert locate(f"{hub.url}/another-part", SHA256).read_bytes() == CONTENT
    assert [asked for _, asked, _ in hub.requests] == [None, "bytes=100-", None]


def test_what_a_server_says_is_for_a_terminal(hub):
    with pytest.raises(WeightsError, match=r"cannot be downloaded: No\?\[2J"):
        locate(f"{hub.url}/rude")


def test_a_cache_that_others_may_write_to(hub, tmp_path):
    locate(f"{hub.url}/busy")
    cache = tmp_path / "cache"
    assert cache.stat().st_mode & 0o777 == 0o700
    cache.chmod(0o777)
    with pytest.raises(WeightsError, match=r"other users can write there"):
        locate(f"{hub.url}/broken")


def test_offline_there_is_the_cache(hub, monkeypatch):
    found = locate(f"{hub.url}/cdn/model.safetensors")
    hub.requests.clear()
    monkeypatch.setenv("UPLIFT_OFFLINE", "1")
    assert locate(f"{hub.url}/cdn/model.safetensors", SHA256) == found
    with pytest.raises(WeightsError, match=r"/busy is not in .*cache \(expected with UPLIFT_OFFLINE\)"):
        locate(f"{hub.url}/busy")
    assert hub.requests == []


def test_wrong_checksum_is_not_kept(hub, tmp_path):
    with pytest.raises(WeightsError, match=r"has SHA-256 .* \(expected: 00\)"):
        locate("hub:owner/name/model.safetensors", "00")
    assert files(tmp_path) == []


def test_checksum_of_what_is_in_the_cache(hub, tmp_path):
    found = locate(f"{hub.url}/busy", SHA256)
    found.write_bytes(b"rotten")
    with pytest.raises(WeightsError, match=rf"{found.name} has SHA-256 .* \(expected: {SHA256}\)"):
        locate(f"{hub.url}/busy", SHA256)


def test_broken_transfer_is_continued(hub, tmp_path):
    found = locate(f"{hub.url}/broken", SHA256)
    assert [asked for _, asked, _ in hub.requests] == [None, "bytes=100-"]
    assert files(tmp_path) == [found.name]


def test_server_without_ranges_starts_over(hub):
    assert locate(f"{hub.url}/no-ranges", SHA256).read_bytes() == CONTENT
    assert [asked for _, asked, _ in hub.requests] == [None, "bytes=100-"]


def test_a_later_call_continues(hub, tmp_path):
    with pytest.raises(WeightsError, match=r"broken .* ended after 500 bytes \(expected: 1800\); run again"):
        locate(f"{hub.url}/always-broken")
    assert len(files(tmp_path)) == 2
    with pytest.raises(WeightsError, match=r"ended after 1000 bytes"):
        locate(f"{hub.url}/always-broken")
    hub.etag = '"two"'  # another file by now
    with pytest.raises(WeightsError, match=r"ended after 500 bytes"):
        locate(f"{hub.url}/always-broken")


def test_a_part_that_is_whole_or_too_long_starts_over(hub, tmp_path):
    found = locate(f"{hub.url}/busy")
    part = found.rename(found.with_name(f"{found.name}.part"))
    part.with_name(f"{part.name}.etag").write_text(hub.etag)
    assert locate(f"{hub.url}/busy", SHA256).read_bytes() == CONTENT
    assert [asked for _, asked, _ in hub.requests] == [None, None, f"bytes={len(CONTENT)}-", None]


def test_a_busy_server_is_asked_again(hub):
    assert locate(f"{hub.url}/busy").read_bytes() == CONTENT
    assert len(hub.requests) == 2


def test_what_the_hub_does_not_have(hub, tmp_path):
    with pytest.raises(WeightsError, match=r"cannot be downloaded: Not Found"):
        locate("hub:owner/name/other.safetensors")
    assert len(hub.requests) == 1


def test_no_server(hub, monkeypatch):
    with HTTPServer(("127.0.0.1", 0), Handler) as other:
        port = other.server_port
    with pytest.raises(WeightsError, match=r"cannot be downloaded: .*refused; run again to continue"):
        locate(f"http://127.0.0.1:{port}/file")


def test_sources_that_are_none(tmp_path):
    for source in (
        "owner",
        "a/b/../../../etc/passwd",
        "a/b/..",
        "a/b//etc/passwd",
        "../b/c",
        "a/b/c?d",
        "a/b/c\n",
    ):
        with pytest.raises(WeightsError, match=r"expected: hub:OWNER/NAME/FILE"):
            locate(f"hub:{source}")
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


BODY = {"stem.weight": (4, 2), "norm.bias": (4,), "blocks.0.fc.weight": (8, 4), "blocks.1.fc.weight": (8, 4)}


def body(seed=0, width=4):
    """The tensors of a small model."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn([width if n == 4 else n for n in shape], generator=generator)
        for name, shape in BODY.items()
    }


class Body(nn.Module):
    """A module of these tensors."""

    def state_dict(self, *arguments, **options):
        return body(9)

    def load_state_dict(self, state, *arguments, **options):
        self.loaded = state


def beneath_name(prefix, tensors):
    return {f"{prefix}{name}": value for name, value in tensors.items()}


def load(path):
    module = Body()
    load_strict(module, read_state_dict(path), path)
    return module.loaded


def assert_is_body(state, seed=0):
    assert state.keys() == BODY.keys()
    assert all(torch.equal(value, body(seed)[name]) for name, value in state.items())


PREFIXES = [
    "module.", "_orig_mod.", "module._orig_mod.", "backbone.", "model.backbone.", "teacher.backbone.",
    "encoder.", "_forward_module.net.encoder.", "_fsdp_wrapped_module.", "model.model.model.",
]  # fmt: skip
WRAPPED = {
    "Lightning": lambda: {"state_dict": beneath_name("model.", body()), "hyper_parameters": {"lr": 1.0}},
    "DINO": lambda: {
        "teacher": beneath_name("backbone.", body()),
        "dino_loss": {"center": torch.zeros(1, 4)},
    },
    "MMSegmentation": lambda: {
        "meta": {},
        "state_dict": {**beneath_name("backbone.", body()), "decode_head.bias": torch.zeros(3)},
    },
    "DeepSpeed": lambda: {"module": body(), "rng_state": torch.get_rng_state()},
    "nested": lambda: {"model": {"ema": {"module": beneath_name("net.", body())}}, "epoch": 3},
    "of no known name": lambda: {"weights of mine": {"model": body()}, "scores": torch.zeros(3)},
    "with an optimiser": lambda: {
        "model": body(),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1}]},
    },
    "with a smaller student": lambda: {"teacher": body(), "student": body(1, width=3)},
}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_any_prefix_that_all_names_share(tmp_path, capsys, prefix, suffix):
    path = tmp_path / f"a.{suffix}"
    state = {**beneath_name(prefix, body()), "head.bias": torch.zeros(3)}
    if suffix == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    assert_is_body(load(path))
    said = capsys.readouterr().err
    assert said == f"{path}: 4 tensors read from {prefix[:-1]}; 1 tensors beside them are left out\n"


@pytest.mark.parametrize("trainer", WRAPPED)
def test_checkpoints_as_trainers_write_them(tmp_path, capsys, trainer):
    torch.save(WRAPPED[trainer](), tmp_path / "a.pth")
    assert_is_body(load(tmp_path / "a.pth"))
    assert capsys.readouterr().err.count("a.pth: 4 tensors read from ") == 1


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_more_than_one_candidate_is_a_question(tmp_path, suffix):
    student, teacher = beneath_name("module.backbone.", body(1)), beneath_name("backbone.", body())
    path = tmp_path / f"a.{suffix}"
    if suffix == "pth":
        torch.save({"student": student, "teacher": teacher, "epoch": 9}, path)
    else:
        save_file({**beneath_name("student.", student), **beneath_name("teacher.", teacher)}, path)
    question = (
        r"2 sets of weights fit: student.module.backbone, teacher.backbone \(expected: one; say which by "
    )
    with pytest.raises(WeightsError, match=rf"{question}.*a.{suffix}#student.module.backbone\)"):
        load(path)
    for entry, seed in (("teacher", 0), ("student", 1), ("teacher.backbone", 0), ("student.module", 1)):
        chosen = locate(f"{path}#{entry}", hashlib.sha256(path.read_bytes()).hexdigest())
        assert_is_body(load(chosen), seed)
    with pytest.raises(WeightsError, match=r"backbone is at student.module.backbone and teacher.backbone \("):
        load(Path(f"{path}#backbone"))
    with pytest.raises(WeightsError, match=r"no entry ema \(expected: .*student \(4 tensors\), teacher"):
        load(Path(f"{path}#ema"))


def test_a_name_with_a_number_sign_is_a_name(tmp_path):
    torch.save(body(), tmp_path / "run#teacher")
    assert_is_body(load(locate(str(tmp_path / "run#teacher"))))
    (tmp_path / "#1").mkdir()
    torch.save({"a": body(1), "b": body()}, tmp_path / "#1" / "a.pth")
    assert_is_body(load(locate(f"{tmp_path}/#1/a.pth#b")))
    with pytest.raises(WeightsError, match=r"#1/none \(expected: a file"):
        locate(f"{tmp_path}/#1/none")


def test_an_entry_of_a_download(hub):
    path = locate("hub:owner/name/model.safetensors#teacher", SHA256)
    assert path.name.endswith("model.safetensors#teacher") and not path.is_file()
    assert locate("hub:owner/name/model.safetensors#student", SHA256) != path
    assert len(hub.requests) == 3  # two redirects and the file, once


def test_a_refusal_shows_what_was_found(tmp_path):
    torch.save({"teacher": {"conv.weight": torch.zeros(2)}, "epoch": 3, "args": Option()}, tmp_path / "a.pth")
    with pytest.raises(WeightsError) as e:
        load(tmp_path / "a.pth")
    said = str(e.value)
    assert "a.pth (which has teacher (1 tensors: conv.weight), epoch, args): " in said
    assert "missing: stem.weight [4, 2]" in said and "surplus: conv.weight [2]" in said
    for stored, found in (({"epoch": 3}, "epoch"), (Option(), "an object of a class"), ({}, "nothing")):
        torch.save(stored, tmp_path / "b.pth")
        with pytest.raises(
            WeightsError, match=rf"b.pth has {found}.* \(expected: a state dict, tensors by name"
        ):
            load(tmp_path / "b.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_files_that_are_no_weights_say_what_they_are(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "safetensors":
        save_file(body(), path)
    else:
        torch.save(body(), path)
    whole = path.read_bytes()
    for content, what in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "it is a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>Sign in</html>", "it is a web page"),
        (b'{"weight_map": {}}', "it is JSON"),
        (b"not weights", ""),
        (whole[: len(whole) // 2], ""),
        (b"", ""),
    ):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=rf"a.{suffix} cannot be read: {what}.*\(expected: "):
            load(path)


def test_a_file_of_the_other_format(tmp_path):
    save_file(body(), tmp_path / "a.pth")
    assert_is_body(load(tmp_path / "a.pth"))
    torch.save(body(), tmp_path / "b.safetensors")
    with pytest.raises(
        WeightsError, match=r"b.safetensors cannot be read: .*\(expected: a safetensors file\)"
    ):
        load(tmp_path / "b.safetensors")


class Names(dict):
    """Stands for a training script's class of dictionaries."""


@pytest.mark.parametrize("zipped", [True, False])
def test_dictionaries_of_other_classes_and_old_files(tmp_path, zipped):
    options = Names(lr=Option(), more=Names(values=[1]))
    state = {"model": Names(body()), "options": options, "best": np.float64(0.5), "scores": np.zeros(3)}
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_is_body(load(tmp_path / "a.pth"))


class Option:
    """Stands for a class of a training script that is not installed here."""


def test_other_entries_of_a_checkpoint_are_not_run(tmp_path):
    state = nn.Linear(2, 3).state_dict()
    torch.save({"model_state_dict": state, "options": {"lr": Option(), "path": tmp_path}}, tmp_path / "a.pth")
    assert list(read_state_dict(tmp_path / "a.pth")) == ["weight", "bias"]
    (tmp_path / "b.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"b.pth cannot be read: "):
        read_state_dict(tmp_path / "b.pth")


def test_a_compressed_checkpoint(tmp_path):
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as plain,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in plain.infolist():
            bomb.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "b.pth").stat().st_size < 1 << 14
    with pytest.raises(WeightsError, match=r"b.pth is compressed \(expected: "):
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
