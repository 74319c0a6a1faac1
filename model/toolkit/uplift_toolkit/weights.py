"""Tensors by name, read from files of weights and loaded strictly."""

import pickle
import re
import sys
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

MAX_CLASSES = 100  # of a checkpoint in the format before zip archives, which is read again for each

State = dict[str, Tensor]


class WeightsError(ValueError):
    """One sentence: what was found, and what was expected."""


def split_entry(source: str) -> tuple[str, str | None]:
    """FILE#ENTRY to FILE and ENTRY; a file that has this name as a whole is just that."""
    file, mark, entry = source.rpartition("#")
    is_whole = not mark or not entry or "/" in entry or Path(source).is_file()
    return (source, None) if is_whole else (file, entry)


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
