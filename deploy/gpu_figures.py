"""One table of what `gpu-check` found: every bar with its figure, and MET, MISSED or NOT MEASURED.

python gpu_figures.py DIR        # with what the steps left; exit code 1 where a bar is not met
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PORTABLE = "runs its portable graph"  # what the command line says where the operators do not run
NOT_ASKED = "NOT ASKED"
Found = tuple[str, bool]  # the figure, and whether it meets the bar


class NotMeasuredError(Exception):
    """Why there is no figure."""


class Steps:
    """What the steps of a run left behind."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        lines = [line.split("\t") for line in (directory / "steps.tsv").read_text().splitlines()]
        self.results = {name: result for name, result, *_ in lines}

    def _file(self, step: str, suffix: str) -> str:
        file = self.directory / f"{step.replace(' ', '-')}.{suffix}"
        if not file.is_file():
            result = self.results.get(step, "NOT DONE").partition(":")[0]  # the table of steps has the rest
            raise NotMeasuredError(f"{step}: {result}")
        return file.read_text(errors="replace")

    def json(self, step: str) -> Any:
        return json.loads(self._file(step, "json"))

    def log(self, step: str) -> str:
        text = self._file(step, "log")
        if PORTABLE in text:
            raise NotMeasuredError(f"{step}: the portable graph ran, without the operators")
        return text

    def model(self, name: str, batch: int) -> dict[str, Any]:
        """A bundle's figures of `bench model`."""
        others = {"channels": "model channels", "large": "model others"}
        step = others.get(name, "model 1 frame" if batch == 1 else "model 8 frames")
        report, _ = self.json(step), self.log(step)
        found = next(m for m in report["models"] if m["name"].split()[0] == name)
        if (report["batch"], found["variant"]) != (batch, "cuda-fp16"):
            raise NotMeasuredError(f"{step}: batches of {report['batch']}, {found['variant']}")
        return found

    def milliseconds(self, name: str, batch: int) -> float:
        """Of a frame, from bytes of RGB to outputs in host memory."""
        return 1e3 / self.model(name, batch)["framesPerSecond"]

    def times(self, step: str, contender: str) -> Found:
        """How many times as long as ours the authors' code takes."""
        theirs = self.json(step)["contenders"][contender]
        if "error" in theirs:
            raise NotMeasuredError(f"{step}: {theirs['error']}")
        least = 8 if contender == "authors" else 3
        milliseconds = 1e3 * theirs["secondsPerFrame"]
        times = milliseconds / self.milliseconds("classes-19", 1)
        return f"{times:.2f} times: {milliseconds:.2f} ms", times >= least

    def load(self, mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """A report of `bench load`, and its run."""
        step = f"load {mode}"
        report, _ = self.json(step), self.log(step)
        if report["variant"] != "cuda-fp16":
            raise NotMeasuredError(f"{step}: {report['variant']}")
        return report, next(run for run in report["runs"] if run["mode"] == mode)

    def channels(self, side: int, batch: int) -> dict[str, float]:
        """Figures of all channels in Python."""
        return next(f for f in self.json("channels") if (f["side"], f["batch"]) == (side, batch))


def at_most(most: float, value: float, unit: str) -> Found:
    return f"{value:.4g} {unit}", value <= most


def frame(name: str, batch: int, most: float) -> Callable[[Steps], Found]:
    return lambda steps: at_most(most, steps.milliseconds(name, batch), "ms")


def on_the_device(steps: Steps) -> Found:
    stages = steps.model("channels", 1)["stages"]
    return at_most(3.5, stages["backbone"] + stages["upsampler"], "ms")


def memory(batch: int, most: float) -> Callable[[Steps], Found]:
    return lambda steps: at_most(most, steps.channels(448, batch)["memoryGB"], "GB")


def per_pixel(large: float, small: float) -> Found:
    times = large / small / 9  # 1344x1344 has nine times as many pixels
    return f"{times:.2f} times: {large:.2f} and {small:.2f} ms", times <= 1.3


def capacity(steps: Steps) -> Found:
    found = steps.load("lossless")[0]["capacity"]
    return f"{found:.0f} frames/s", found >= 250


def latency(mode: str) -> Callable[[Steps], Found]:
    def found(steps: Steps) -> Found:
        run = steps.load(mode)[1]
        if run["load"] != {"lossless": 0.9, "live": 5}[mode] or "p99" not in run["latency"]:
            raise NotMeasuredError(f"load {mode}: {run['load']} times the capacity, latency {run['latency']}")
        bound = 60 if mode == "lossless" else run["boundMillis"]
        return at_most(bound, run["latency"]["p99"], f"ms (bound {bound:.0f} ms)")

    return found


def accounts(steps: Steps) -> Found:
    texts, right = [], True
    for mode in ("lossless", "live"):
        run = steps.load(mode)[1]
        balance = run["balance"]
        right &= run["exactlyOnce"] and balance["failures"] == 0
        right &= balance["drops"] == 0 or mode == "live"
        ends = f"{balance['results']} results, {balance['drops']} drops, {balance['failures']} failures"
        texts.append(f"{mode} {balance['published']}: {ends}, {balance['lost']} lost")
    return "; ".join(texts), right


def recorded(steps: Steps) -> Found:
    log = steps.log("model 1 frame")
    why = re.search(r"CUDA graphs are not used.*", log)
    return (why.group() if why else "as CUDA graphs"), ", as CUDA graphs" in log and why is None


def golden(what: str) -> Callable[[Steps], Found]:
    def found(steps: Steps) -> Found:
        line = re.search(rf".*cuda-fp16.*{what} ([\d.]+).*", steps.log("verify street"))
        if line is None:
            raise NotMeasuredError(f"verify street: no line of cuda-fp16 with '{what}'")
        return line.group(1), float(line.group(1)) >= 0.999

    return found


BARS: tuple[tuple[str, Callable[[Steps], Found]], ...] = (
    ("448x448 in the JVM, host to host, 19 classes, 1 frame: at most 2.8 ms", frame("classes-19", 1, 2.8)),
    ("the same, 150 classes: at most 3.2 ms", frame("classes-150", 1, 3.2)),
    ("the same, 19 classes, batches of 8: at most 2.0 ms a frame", frame("classes-19", 8, 2.0)),
    ("the same, 150 classes, batches of 8: at most 2.0 ms a frame", frame("classes-150", 8, 2.0)),
    ("the JVM replays what it launches: as CUDA graphs", recorded),
    ("the authors' code as it comes: at least 8 times ours", lambda s: s.times("authors", "authors")),
    (
        "the authors' make_fast in bf16: at least 3 times ours",
        lambda s: s.times("authors make_fast", "authors-fast-bf16"),
    ),
    ("Kafka to Kafka, 150 classes: at least 250 frames/s", capacity),
    ("the same at 0.9 of the capacity: p99 at most 60 ms", latency("lossless")),
    ("the same, live at 5 times the capacity: p99 within its bound", latency("live")),
    ("every frame accounted for, and none failed", accounts),
    ("384 channels, 448x448, in the JVM, on the device: at most 3.5 ms", on_the_device),
    ("the same, into host memory: at most 3.5 ms", frame("channels", 1, 3.5)),
    ("the same, memory that PyTorch allocates for 1 frame: at most 0.6 GB", memory(1, 0.6)),
    ("the same for 8 frames: at most 3 GB", memory(8, 3.0)),
    (
        "1344x1344, 384 channels, on the device: at most 1.3 times 448x448's time per pixel",
        lambda s: per_pixel(*(s.channels(side, 1)["milliseconds"] for side in (1344, 448))),
    ),
    (
        "1344x1344 in the JVM, host to host, 19 classes: the same",
        lambda s: per_pixel(s.milliseconds("large", 1), s.milliseconds("classes-19", 1)),
    ),
    ("street, fp16: at least 0.999 of fp32's labels", golden("labels agree")),
    ("street, fp16: cosine of features at least 0.999", golden("features cosine")),
)


def main(directory: Path) -> int:
    steps, code = Steps(directory), 0
    print("| bar | found | |\n|---|---|---|")
    for bar, figure in BARS:
        try:
            found, met = figure(steps)
            verdict = "MET" if met else "MISSED"
        except NotMeasuredError as why:
            found, verdict = str(why), "NOT MEASURED"
        except (
            AttributeError,
            LookupError,
            StopIteration,
            TypeError,
            ValueError,
            ZeroDivisionError,
        ) as error:
            found, verdict = f"figures of another form: {error!r}", "NOT MEASURED"
        if verdict != "MET" and NOT_ASKED not in found:
            code = 1
        print(f"| {bar} | {found} | {verdict} |")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
