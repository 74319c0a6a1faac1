"""Where files of weights come from, and what stays out."""

import contextlib
import hashlib
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from uplift_toolkit import downloads
from uplift_toolkit.downloads import locate
from uplift_toolkit.weights import WeightsError

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
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0)
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
    follow = downloads._Redirects().redirect_request
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


@pytest.mark.parametrize("sha256", [SHA256, "00"])
def test_a_second_process_waits_until_the_first_has_checked(hub, tmp_path, monkeypatch, sha256):
    """The first may discard what it has, of which the second downloads its own."""
    found, digest = [], downloads.digest
    second = threading.Thread(target=lambda: found.append(locate(f"{hub.url}/no-ranges", SHA256)))

    def checking(path):
        monkeypatch.setattr(downloads, "digest", digest)
        second.start()
        second.join(0.2)
        assert second.is_alive()
        return digest(path)

    monkeypatch.setattr(downloads, "digest", checking)
    with contextlib.nullcontext() if sha256 == SHA256 else pytest.raises(WeightsError, match="SHA-256"):
        found.append(locate(f"{hub.url}/no-ranges", sha256))
    second.join()
    assert [path.read_bytes() for path in found] == [CONTENT] * (2 if sha256 == SHA256 else 1)
    assert not [name for name in files(tmp_path) if ".part" in name]


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


def test_an_entry_of_a_download(hub):
    path = locate("hub:owner/name/model.safetensors#teacher", SHA256)
    assert path.name.endswith("model.safetensors#teacher") and not path.is_file()
    assert locate("hub:owner/name/model.safetensors#student", SHA256) != path
    assert len(hub.requests) == 3  # two redirects and the file, once
