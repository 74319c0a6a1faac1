"""Weights from a file, from the cache, or from the hub (downloaded into the cache once)."""

from __future__ import annotations

import hashlib
import os
import pickle
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

State = dict[str, Tensor]


class WeightsError(ValueError):
    """One sentence: what was found, and what was expected."""


def cache_directory() -> Path:
    """$UPLIFT_CACHE, or ~/.cache/uplift-toolkit."""
    return Path(os.environ.get("UPLIFT_CACHE") or Path.home() / ".cache" / "uplift-toolkit")


def locate(source: str, sha256: str | None = None) -> Path:
    """The file behind a source, downloaded unless it is in the cache.

    A source is a path, an https:// or http:// address, or `hub:OWNER/NAME/FILE` (Hugging Face, at
    $HF_ENDPOINT if that is set). With `sha256` the file's content is checked, wherever it comes from.
    """
    if source.startswith("hub:"):
        parts = source.removeprefix("hub:").split("/", 2)
        if len(parts) != 3:
            raise WeightsError(f"weights: {source!r} (expected: hub:OWNER/NAME/FILE)")
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        source = f"{endpoint}/{parts[0]}/{parts[1]}/resolve/main/{parts[2]}"
    if not source.startswith(("https://", "http://")):
        path = Path(source)
        if not path.is_file():
            raise WeightsError(f"weights: {source} (expected: a file, an address or hub:OWNER/NAME/FILE)")
        _check(path, sha256)
        return path
    path = (
        cache_directory() / f"{hashlib.sha256(source.encode()).hexdigest()[:16]}-{source.rsplit('/', 1)[1]}"
    )
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            _download(source, part)
            _check(part, sha256)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    _check(path, sha256)
    return path


def _download(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=60) as response, target.open("wb") as file:
            expected = response.headers.get("Content-Length")
            while chunk := response.read(1 << 20):
                file.write(chunk)
    except (urllib.error.URLError, TimeoutError) as e:
        raise WeightsError(f"weights: {url} cannot be downloaded: {getattr(e, 'reason', e)}") from e
    found = target.stat().st_size
    if expected is not None and found != int(expected):
        raise WeightsError(f"weights: {url} ended after {found} bytes (expected: {expected})")


def _check(path: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    found = digest.hexdigest()
    if found != sha256.lower():
        raise WeightsError(f"weights: {path.name} has SHA-256 {found} (expected: {sha256})")


class _Inert:
    """Stands in for classes that a checkpoint's other entries need, such as a training's options."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model")


def read_state_dict(path: Path) -> State:
    """Tensors by name, from .safetensors or a pickled checkpoint (.pth, .pt, .bin).

    Of a pickled file only tensors and plain values are read; nothing in it is run.
    """
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except ValueError:  # the format before zip archives
        foreign = []
    try:
        with torch.serialization.safe_globals([(_Inert, name) for name in foreign]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as e:
        raise WeightsError(f"weights: {path} cannot be read: {str(e).splitlines()[0]}") from e
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"weights: {path} (expected: a state dict, tensors by name)")
    return {name.removeprefix("module."): value for name, value in state.items()}  # of DataParallel


def load_strict(module: nn.Module, state: State, source: object, ignore: Sequence[str] = ()) -> None:
    """Loads every tensor. WeightsError names what is missing, surplus or of another shape.

    Names that start with one of `ignore` may be surplus.
    """
    own = module.state_dict()
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
