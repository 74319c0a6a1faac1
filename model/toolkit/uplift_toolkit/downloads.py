"""Files of weights by their source: a path, an address or the hub, downloaded into the cache once."""

import fcntl
import hashlib
import http
import http.client
import os
import re
import stat
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import IO

from uplift_toolkit.progress import progress
from uplift_toolkit.weights import WeightsError, split_entry

MAX_GIB = 8.0  # of a download, unless $UPLIFT_MAX_DOWNLOAD_GIB says otherwise
ATTEMPTS = 5
PAUSE_SECONDS = 0.5  # before the second attempt; twice that before the third, and so on
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TooLargeError(WeightsError):
    """A download beyond the limit."""


def cache_directory() -> Path:
    """$UPLIFT_CACHE, or ~/.cache/uplift-toolkit."""
    return Path(os.environ.get("UPLIFT_CACHE") or Path.home() / ".cache" / "uplift-toolkit")


def locate(source: str, sha256: str | None = None) -> Path:
    """The file behind a source, downloaded unless it is in the cache.

    A source is a path, an https:// or http:// address, or `hub:OWNER/NAME/FILE` (Hugging Face, at
    $HF_ENDPOINT if that is set, with $HF_TOKEN for what asks for one). It may end in `#ENTRY`, the part of
    the file that is meant, and so does the path then. With `sha256` the file's content is checked before
    anything reads it, wherever it comes from; plain http without it is warned about. With $UPLIFT_OFFLINE
    nothing is downloaded. A download of more than $UPLIFT_MAX_DOWNLOAD_GIB (8 unless set) is given up.
    """
    source, entry = split_entry(source)
    path = _located(source, sha256)
    return path if entry is None else path.with_name(f"{path.name}#{entry}")


def _located(source: str, sha256: str | None) -> Path:
    headers = {}
    if source.startswith("hub:"):
        parts = source.removeprefix("hub:").split("/")
        if len(parts) < 3 or not all(re.fullmatch(r"(?!\.\.?$)[\w.+-]+", part) for part in parts):
            raise WeightsError(f"weights: {source!r} (expected: hub:OWNER/NAME/FILE)")
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        source = "/".join((endpoint, *parts[:2], "resolve/main", *parts[2:]))
        if os.environ.get("HF_TOKEN"):
            if (
                not endpoint.startswith("https://")
                and urllib.parse.urlsplit(endpoint).hostname not in LOOPBACK
            ):
                raise WeightsError(f"HF_ENDPOINT: {endpoint} (expected: https, since HF_TOKEN is sent there)")
            headers["Authorization"] = f"Bearer {os.environ['HF_TOKEN']}"
    if not source.startswith(("https://", "http://")):
        path = Path(source)
        if not path.is_file():
            raise WeightsError(f"weights: {source} (expected: a file, an address or hub:OWNER/NAME/FILE)")
        _check(path, sha256)
        return path
    key = hashlib.sha256(source.encode()).hexdigest()[:16]
    name = re.sub(r"[^\w.+-]", "_", urllib.parse.urlsplit(source).path.rpartition("/")[2])
    path = cache_directory() / f"{key}-{name[-100:]}"
    if not path.is_file():
        if os.environ.get("UPLIFT_OFFLINE", "0") not in ("", "0"):
            raise WeightsError(f"weights: {source} is not in {path.parent} (expected with UPLIFT_OFFLINE)")
        if source.startswith("http://") and sha256 is None:
            print(
                f"{source}: plain http, and no sha256 to check: whoever is on the way can send another file",
                file=sys.stderr,
            )
        _own_directory(path.parent)
        while not path.is_file():  # again where another process discarded what it had
            if _download(source, headers, path, sha256):
                return path
    _check(path, sha256)
    return path


def _own_directory(path: Path) -> None:
    """Makes the directory, for this user alone; WeightsError if others may put files into it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0) or found.st_mode & stat.S_IWOTH:
        raise WeightsError(f"{path}: other users can write there (expected: a directory of this user's own)")


def max_bytes() -> int:
    """The largest download, in bytes."""
    said = os.environ.get("UPLIFT_MAX_DOWNLOAD_GIB") or str(MAX_GIB)
    if not re.fullmatch(r"\d{1,6}(\.\d+)?", said):
        raise WeightsError(f"UPLIFT_MAX_DOWNLOAD_GIB: {said!r} (expected: a number of GiB)")
    return int(float(said) * (1 << 30))


def _download(url: str, headers: dict[str, str], path: Path, sha256: str | None) -> bool:
    """Fetches the file whole, and checks it; False if another process did so, or discarded it, meanwhile.

    What a broken transfer left is kept as `.part` and continued, by this or a later call. That takes a
    server that knows ranges and names the version it sends (ETag); others start over.
    """
    part = path.with_name(f"{path.name}.part")
    version = part.with_name(f"{part.name}.etag")
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of several processes one downloads, checks and renames
        if path.is_file():
            part.unlink(missing_ok=True)
            return False
        if not (part.exists() and os.path.samestat(part.stat(), os.fstat(file.fileno()))):
            return False
        for attempt in range(ATTEMPTS):
            time.sleep(PAUSE_SECONDS * attempt)
            try:
                expected = _fetch(url, headers, file, version)
            except TooLargeError:
                part.unlink()
                version.unlink(missing_ok=True)
                raise
            except urllib.error.HTTPError as e:
                problem = _printable(e.reason)
                if e.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    file.truncate(0)
                elif e.code < 500:
                    hint = " (HF_TOKEN gives access to what has a gate)" if e.code in (401, 403) else ""
                    raise WeightsError(f"weights: {url} cannot be downloaded: {problem}{hint}") from e
            except (OSError, http.client.HTTPException) as e:
                problem = _printable(getattr(e, "reason", e))
            else:
                found = file.tell()
                if expected is None or found == expected:
                    version.unlink(missing_ok=True)
                    _check(part, sha256, discard=True)
                    part.replace(path)
                    print(f"{url}: SHA-256 {digest(path)}", file=sys.stderr)
                    return True
                problem = f"ended after {found} bytes (expected: {expected})"
    raise WeightsError(
        f"weights: {url} cannot be downloaded: {problem}; run again to continue, or put the file on disk and "
        "name it in weights:"
    )


def _printable(said: object) -> str:
    """What a server says, for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(said)[:200])


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to another address of the web, but from https to nothing less."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        kinds = ("https://",) if req.type == "https" else ("https://", "http://")
        if not newurl.lower().startswith(kinds):
            said = f"a redirect to {_printable(newurl)} (expected: to {' or '.join(kinds)})"
            raise urllib.error.HTTPError(req.full_url, code, said, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, headers: dict[str, str], file: IO[bytes], version: Path) -> int | None:
    """Appends what is still missing; returns the whole size if the server says it.

    TooLargeError: it is beyond `max_bytes`.
    """
    limit = max_bytes()
    request = urllib.request.Request(url)
    for name, value in headers.items():
        request.add_unredirected_header(name, value)  # a token is not for where the hub sends us
    have = file.seek(0, os.SEEK_END)
    if have and version.is_file():
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version.read_text())
    with urllib.request.build_opener(_Redirects).open(request, timeout=60) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
            file.truncate(0)
            version.unlink(missing_ok=True)
            etag = response.headers.get("ETag", "")
            if re.fullmatch(r'"[!#-~]{1,200}"', etag):  # a strong one
                version.write_text(etag)
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            file.truncate(0)
            raise OSError("another part of the file than was asked for")
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        too_large = TooLargeError(
            f"weights: {url} has more than {limit} bytes (expected: at most; UPLIFT_MAX_DOWNLOAD_GIB sets it)"
        )
        if total is not None and total > limit:
            raise too_large
        name = url.rsplit("/", 1)[1]
        with progress(total=total, initial=have, desc=name, unit="B", unit_scale=True) as bar:
            while chunk := response.read(1 << 18):
                if file.tell() + len(chunk) > limit:
                    raise too_large
                file.write(chunk)
                bar.update(len(chunk))
        file.flush()
    return total


def _check(path: Path, sha256: str | None, discard: bool = False) -> None:
    if sha256 is None or (found := digest(path)) == sha256.lower():
        return
    if discard:
        path.unlink()
    raise WeightsError(f"weights: {path.name} has SHA-256 {found} (expected: {sha256})")


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        while chunk := file.read(1 << 20):
            found.update(chunk)
        return found.hexdigest()
