"""Files that are made from other files, and kept: they are as old as what they were made from says.

A folder of them holds `complete.json`, written last: what its files were made from, and their sizes. Without
it, or with another one, they are made anew; so nothing that a killed run leaves is taken for whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SEAL = "complete.json"
Facts = dict[str, Any]


def keep(folder: Path, sources: Facts, make: Callable[[Path], Facts]) -> Facts:
    """What `make` returned when it wrote the files of `folder`, by this call or by an earlier one.

    `make` gets an empty folder to write to. It runs if nothing whole is kept that was made from the same
    `sources`, and a line says why. What it writes replaces the old files by renaming: who has mapped those
    keeps them. `sources` and what `make` returns must be JSON.
    """
    sources = json.loads(json.dumps(sources))
    kept = _seal(folder)
    if kept is not None and kept["from"] == sources:
        return kept["facts"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes one makes the files
        kept = _seal(folder)
        if kept is not None and kept["from"] == sources:
            return kept["facts"]
        if kept is not None:
            print(f"{folder}: made anew: {difference(kept['from'], sources)}", file=sys.stderr)
        elif any(path.name != "lock" for path in folder.iterdir()):
            print(f"{folder}: made anew: unfinished, or of an older version", file=sys.stderr)
        for left in folder.glob("new-*"):  # by a run that was killed
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix="new-", dir=folder) as new:
            facts = make(Path(new))
            sizes = {path.name: path.stat().st_size for path in sorted(Path(new).iterdir())}
            (folder / SEAL).unlink(missing_ok=True)
            for name in sizes:
                (Path(new) / name).replace(folder / name)
            seal = Path(new) / SEAL
            seal.write_text(json.dumps({"from": sources, "files": sizes, "facts": facts}) + "\n")
            seal.replace(folder / SEAL)
    return facts


def made_from(folder: Path) -> Facts | None:
    """What the files of a folder were made from; None unless they are all there and whole."""
    seal = _seal(folder)
    return None if seal is None else seal["from"]


def _seal(folder: Path) -> Facts | None:
    try:
        seal = json.loads((folder / SEAL).read_text())
        whole = all((folder / name).stat().st_size == size for name, size in seal["files"].items())
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return seal if whole else None


def difference(old: Facts, new: Facts) -> str:
    """In a few words, what of the new facts is not as in the old ones."""
    said = []
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if a == b:
            continue
        if not (isinstance(a, dict) and isinstance(b, dict)):
            said.append(f"other {key}")
            continue
        for what, names in (
            ("changed", [name for name in b if name in a and a[name] != b[name]]),
            ("new", [name for name in b if name not in a]),
            ("gone", [name for name in a if name not in b]),
        ):
            if names:
                said.append(f"{some(names, 3)} {what}")
    return "; ".join(said)


def some(names: Iterable[str], count: int) -> str:
    """The first names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def file_state(path: Path) -> list[int]:
    """Size in bytes and time of the last change in nanoseconds."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def code_of(*files: str) -> str:
    """A hash of the toolkit's source files of these names."""
    digest = hashlib.sha256()
    for name in files:
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]
