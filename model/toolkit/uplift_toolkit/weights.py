"""Weights from a file, from the cache, or from the hub (downloaded into the cache once)."""

import fcntl
import hashlib
import http
import http.client
import os
import pickle
import re
import stat
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from tqdm import tqdm

MAX_GIB = 8.0  # of a download, unless $UPLIFT_MAX_DOWNLOAD_GIB says otherwise
MAX_CLASSES = 100  # of a checkpoint in the format before zip archives, which is read again for each
ATTEMPTS = 5
PAUSE_SECONDS = 0.5  # before the second attempt; twice that before the third, and so on

LOOPBACK = ("localhost", "127.0.0.1", "::1")

State = dict[str, Tensor]


class WeightsError(ValueError):
    """One sentence: what was found, and what was expected."""


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


def split_entry(source: str) -> tuple[str, str | None]:
    """FILE#ENTRY to FILE and ENTRY; a file that has this name as a whole is just that."""
    file, mark, entry = source.rpartition("#")
    is_whole = not mark or not entry or "/" in entry or Path(source).is_file()
    return (source, None) if is_whole else (file, entry)


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
        part = path.with_name(f"{path.name}.part")
        _download(source, headers, part)
        if part.exists():
            _check(part, sha256, discard=True)
            part.replace(path)
        print(f"{source}: SHA-256 {digest(path)}", file=sys.stderr)
    else:
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


def _download(url: str, headers: dict[str, str], part: Path) -> None:
    """Fetches `part` whole. What a broken transfer left there is kept and continued, by this or a later call.

    That takes a server that knows ranges and names the version it sends (ETag); others start over.
    """
    version = part.with_name(f"{part.name}.etag")
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # of several processes one downloads
        if not part.exists():
            return
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
                    return
                problem = f"ended after {found} bytes (expected: {expected})"
    raise WeightsError(f"weights: {url} cannot be downloaded: {problem}; run again to continue")


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
        with tqdm(total=total, initial=have, desc=name, unit="B", unit_scale=True, disable=None) as bar:
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


class _Inert:
    """Stands in for classes that a checkpoint's other entries need, such as a training's options."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


class _InertNames:
    """Stands for them where a class of dictionaries is among them: what it holds is read."""

    def __new__(cls, *arguments: object) -> OrderedDict[Any, Any]:
        return OrderedDict()


# Entries of a checkpoint that hold its tensors, as trainers name them.
WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "teacher", "student", "network", "net")
WRAPPERS += ("state_dict_ema", "model_ema", "ema", "ema_state_dict")


class Checkpoint(State):
    """The tensors of a file by name, within the one entry that holds them all if there is one.

    `everything` has the tensors of all entries, with the names of those before their own, as
    `teacher.backbone.cls_token`; `entries` says in words what the file has at its top, if not only tensors.
    """

    def __init__(self, everything: State, within: str, entries: str) -> None:
        super().__init__({n.removeprefix(within): v for n, v in everything.items() if n.startswith(within)})
        self._everything = everything
        self.within, self.entries = within, entries

    @property
    def everything(self) -> State:
        return self._everything if self.within else self


def read_state_dict(path: Path) -> Checkpoint:
    """Tensors by name, from .safetensors or a pickled checkpoint (.pth, .pt, .bin).

    FILE#ENTRY takes the tensors beneath ENTRY, as `teacher` or `model.ema`. Of a pickled file only tensors
    and plain values are read; nothing in it is run. It takes the memory that its own length says: a
    compressed archive, which torch.save does not write, is refused.
    """
    file, entry = split_entry(str(path))
    stored = _read(Path(file))
    everything: State = {}
    _flatten(stored, "", everything)
    if not everything:
        raise WeightsError(
            f"weights: {path} has {_described(stored)} (expected: a state dict, tensors by name)"
        )
    entries = "" if all(isinstance(value, Tensor) for value in stored.values()) else _described(stored)
    if entry is None:
        return Checkpoint(everything, _wrapper(stored), entries)
    found = {name[: at + len(entry) + 1] for name in everything if (at := f".{name}".find(f".{entry}.")) >= 0}
    if len(found) != 1:
        places = " and ".join(sorted(place.rstrip(".") for place in found))
        what = f"{entry} is at {places}" if found else f"no entry {entry}"
        counts = Counter(name.partition(".")[0] for name in everything)
        known = ", ".join(f"{name} ({count} tensors)" for name, count in counts.most_common(8))
        raise WeightsError(f"weights: {path}: {what} (expected: one entry, as of {known})")
    within = found.pop()
    chosen = {name.removeprefix(within): v for name, v in everything.items() if name.startswith(within)}
    return Checkpoint(chosen, "", entries)


def _read(path: Path) -> Any:
    """What a file of weights holds. WeightsError says what the file looks like if it holds none."""
    with path.open("rb") as file:
        head = file.read(64)
    for start, what in (
        (b"version https://git-lfs", "is a pointer of Git LFS (expected: the file itself, by git lfs pull)"),
        (b"<!doctype", "is a web page (expected: the file itself; the address may ask for a login)"),
        (b"<html", "is a web page (expected: the file itself; the address may ask for a login)"),
        (b"{", "is JSON (expected: the tensors themselves, in one file)"),
    ):
        if head.lower().startswith(start):
            raise WeightsError(f"weights: {path} cannot be read: it {what}")
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as e:
            raise WeightsError(f"weights: {path} cannot be read: {e} (expected: a safetensors file)") from e
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise WeightsError(
                    f"weights: {path} is compressed (expected: an archive as torch.save writes it)"
                )
    return _unpickled(path)


def _unpickled(path: Path) -> Any:
    """What torch.save wrote; objects that are no tensors or plain values are replaced by inert ones.

    WeightsError if it cannot be read.
    """
    try:
        foreign = set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except (ValueError, RuntimeError, OSError):  # the format before zip archives, or no checkpoint
        foreign = set()
    stand_in: type = _Inert
    while True:
        inert = [(_Inert if name.startswith("numpy.") else stand_in, name) for name in sorted(foreign)]
        try:
            with torch.serialization.safe_globals(inert):
                return torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, EOFError, RuntimeError, OSError, LookupError, TypeError) as e:
            said = str(e).partition("WeightsUnpickler error: ")
            unknown = re.match(r"Unsupported global: GLOBAL (\S+)", said[2])
            if unknown is not None and unknown[1] not in foreign and len(foreign) < MAX_CLASSES:
                foreign.add(unknown[1])
            elif stand_in is _Inert and "Can only SETITEM" in said[2]:
                stand_in = _InertNames
            else:
                what = (said[2] or said[0]).strip().partition("\n")[0] or "it ends too early"
                raise WeightsError(
                    f"weights: {path} cannot be read: {what} (expected: a file as torch.save or safetensors "
                    "writes it)"
                ) from e


def _flatten(stored: Any, prefix: str, into: State) -> None:
    """Puts all tensors beneath names into one state; an optimiser's have numbers and stay out."""
    for name, value in stored.items() if isinstance(stored, dict) else ():
        if not isinstance(name, str):
            continue
        if isinstance(value, Tensor):
            into[f"{prefix}{name}"] = value
        else:
            _flatten(value, f"{prefix}{name}.", into)


def _wrapper(stored: dict[str, Any]) -> str:
    """The names of the entries, each the only one of `WRAPPERS` in the one before, that hold the tensors."""
    found: list[str] = []
    for name in WRAPPERS:
        inner: State = {}
        _flatten(stored.get(name), "", inner)
        if inner:
            found.append(name)
    return f"{found[0]}.{_wrapper(stored[found[0]])}" if len(found) == 1 else ""


def _described(stored: Any) -> str:
    """What a file has at its top: the entries, with how many tensors each and the first one's name."""
    if not isinstance(stored, dict):
        kind = "an object of a class" if isinstance(stored, _Inert) else f"a {type(stored).__name__}"
        return f"{kind}, not names"
    said = []
    for name, value in stored.items():
        if isinstance(value, Tensor):
            continue
        inner: State = {}
        _flatten(value, "", inner)
        said.append(f"{name} ({_counted(list(inner))})" if inner else str(name))
    tensors = [str(name) for name, value in stored.items() if isinstance(value, Tensor)]
    if tensors:
        said.insert(0, _counted(tensors))
    return f"{', '.join(said[:8])}{' …' if len(said) > 8 else ''}" if said else "nothing"


def _counted(tensors: list[str]) -> str:
    return f"{len(tensors)} tensors: {', '.join(tensors[:3])}{', …' if len(tensors) > 3 else ''}"


def beneath(
    state: State, expected: Sequence[State], source: object, respelt: Callable[[str], str] = str
) -> tuple[State, str]:
    """The tensors that lie where one of the expected states fits best, and the source, in words for an error.

    Trainers store a model within entries and modules (`teacher`, `module.`, `model.backbone.`, …), so the
    names may have anything before them, as long as it is the same for all. WeightsError asks which is meant
    if more than one place fits; where none does, the state is returned as it is. What was left out is said.
    `respelt` is applied to every name.
    """
    everything = state.everything if isinstance(state, Checkpoint) else state
    everything = {respelt(name): value for name, value in everything.items()}
    places = _places(everything, expected)
    entries = getattr(state, "entries", "")
    entries = f" (which has {entries})" if entries else ""
    if len(places) > 1 and "" not in places:
        found = [place.rstrip(".") for place in places]
        raise WeightsError(
            f"{source}: {len(found)} sets of weights fit: {', '.join(found)} (expected: one; say which by "
            f"{split_entry(str(source))[0]}#{found[0]})"
        )
    if "" in places:
        return everything, f"{source}{entries}"
    if not places:
        return dict(state), f"{source}{entries}"
    place = places[0]
    chosen = {n.removeprefix(place): v for n, v in everything.items() if n.startswith(place)}
    say_where(source, place, len(chosen), len(everything))
    return chosen, f"{source}, {place.rstrip('.')}"


def say_where(source: object, place: str, count: int, total: int) -> None:
    """Says on standard error which tensors of a file are read."""
    left = f"; {total - count} tensors beside them are left out" if total > count else ""
    print(f"{source}: {count} tensors read from {place.rstrip('.')}{left}", file=sys.stderr)


def _places(everything: State, expected: Sequence[State]) -> list[str]:
    """What lies before the expected names: every place where half of them are, and half of the best one's.

    Where sets of names are equal the shapes decide, as between a teacher and a smaller student.
    """
    for shapes in (True, False):
        shares: dict[str, float] = {}
        for state in expected:
            counts: Counter[str] = Counter()
            for name, value in everything.items():
                parts = name.split(".")
                for i in range(len(parts)):
                    wanted = state.get(".".join(parts[i:]))
                    if wanted is not None and (not shapes or wanted.shape == value.shape):
                        counts[".".join(parts[:i]) + "." if i else ""] += 1
            for place, count in counts.items():
                shares[place] = max(shares.get(place, 0.0), count / len(state))
        best = max(shares.values(), default=0.0)
        if best >= 0.5:
            return sorted(place for place, share in shares.items() if share >= max(0.5, best / 2))
    return []


def load_strict(module: nn.Module, state: State, source: object, ignore: Sequence[str] = ()) -> None:
    """Loads every tensor, from wherever in the checkpoint they lie (see `beneath`).

    WeightsError names what is missing, surplus or of another shape. Names that start with one of `ignore` may
    be surplus.
    """
    own = module.state_dict()
    state, source = beneath(state, [own], source)
    state = {
        name: value for name, value in state.items() if name in own or not name.startswith(tuple(ignore))
    }
    check_names_and_shapes(own, state, source)
    module.load_state_dict(state, strict=False)


def check_names_and_shapes(expected: State, state: State, source: object) -> None:
    """WeightsError prints the difference: names with the shapes that were found and expected."""
    # Not every writer keeps the counter of batch norms, and nothing is computed from it.
    missing = [
        f"{name} {list(value.shape)}"
        for name, value in expected.items()
        if name not in state and not name.endswith("num_batches_tracked")
    ]
    surplus = [f"{name} {list(value.shape)}" for name, value in state.items() if name not in expected]
    shapes = [
        f"{name} {list(state[name].shape)} (expected: {list(value.shape)})"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    difference = []
    for what, names in (("missing", missing), ("surplus", surplus), ("of another shape", shapes)):
        if names:
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            difference.append(f"{what}: {', '.join(names[:8])}{more}")
    if difference:
        raise WeightsError(f"{source}: {'; '.join(difference)}")
