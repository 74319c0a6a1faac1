"""What the training commands share: options, device and precision, and one run with its files.

Everything of one model goes to one directory: `<part>.safetensors` (what `export --weights` reads),
`<part>.checkpoint.pt` (what `--resume` continues from), `<part>.json` and `<part>.png` (the report).
"""

import argparse
import json
import math
import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from uplift_toolkit.data import Frames
from uplift_toolkit.derived import some
from uplift_toolkit.images import VOID
from uplift_toolkit.model import ModelConfig
from uplift_toolkit.upsamplers import KINDS, PLAIN

LOG_STEPS = 20


def add_common(parser: argparse.ArgumentParser, split: str = "train") -> None:
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the model's YAML file")
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="images/ with labels/ and depth/ where needed; the same in train/ and val/; or Cityscapes",
    )
    parser.add_argument(
        "--split", help=f"of data that has several (default: {split}, or all of a folder without splits)"
    )
    parser.add_argument(
        "--skip-bad",
        action="store_true",
        help="leave out files of --data that cannot be used, instead of ending with their names",
    )
    parser.add_argument("--threads", type=int, default=0, help="default: torch's choice")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))


def add_training(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="where weights and reports are kept"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--balance", type=float, default=0.5, help="0 weighs every pixel alike, 1 every class (default 0.5)"
    )


def add_run(parser: argparse.ArgumentParser, steps: int, batch: int, lr: float) -> None:
    add_training(parser)
    parser.add_argument("--steps", type=int, default=steps, help=f"default {steps}")
    parser.add_argument(
        "--minutes", type=float, help="end after so long instead, if that is sooner: not repeatable"
    )
    parser.add_argument(
        "--batch", type=int, default=batch, help=f"images of the input size (default {batch})"
    )
    parser.add_argument("--lr", type=float, default=lr, help=f"learning rate (default {lr})")
    parser.add_argument("--init", type=Path, metavar="FILE", help="weights of the same kind to start from")
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "fp32", "bf16"),
        help="auto: bf16 where the hardware has it, fp32 elsewhere; weights are fp32 in both",
    )
    parser.add_argument("--resume", action="store_true", help="continue from the checkpoint in --output")
    parser.add_argument("--save-minutes", type=float, default=3.0, help="between checkpoints (default 3)")


def add_kinds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=KINDS,
        help="upsamplers to compare: the configuration's own, and of others what train-upsampler --kind left "
        "(default: nearest, bilinear and the configuration's)",
    )


def kinds_of(arguments: argparse.Namespace, config: ModelConfig) -> list[str]:
    """The kinds that `--kinds` names, each once."""
    return list(dict.fromkeys(arguments.kinds or (*PLAIN, config.kind)))


def prepare(arguments: argparse.Namespace) -> torch.device:
    """Sets the seed and the threads; returns the device that `--device` means here."""
    torch.manual_seed(getattr(arguments, "seed", 0))
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device: cuda (expected here: cpu, torch finds no CUDA device)")
    name = arguments.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def open_frames(arguments: argparse.Namespace, config: ModelConfig, split: str = "train") -> Frames:
    """The frames of `--data`, in at most twice the size of the model's input.

    Without `--split` they are those of `split`, or all of a folder without splits. ValueError if the data has
    no split of the name that `--split` gives.
    """
    data, asked = arguments.data, arguments.split
    folders = (f"{asked}/images", f"leftImg8bit/{asked}")
    if asked and not any((data / folder).is_dir() for folder in folders):
        raise ValueError(
            f"--split: no split {asked} in {data} (expected: {data}/{asked}/images; a flat folder has no "
            "splits)"
        )
    size = (2 * config.input.height, 2 * config.input.width)
    frames = Frames(data, size, len(config.labels), asked or split, arguments.skip_bad)
    say_no_class(frames)
    return frames


def say_no_class(frames: Frames) -> None:
    """Names on standard error the ids in the first frame's labels that are no class, nor the usual void."""
    if frames.labels is None:
        return
    ids, counts = np.unique(frames.labels[0], return_counts=True)
    others = (ids >= frames.classes) & (ids != VOID)
    if others.any():
        share = counts[others].sum() / counts.sum()
        print(
            f"{frames.directory}: labels {some(map(str, ids[others]), 8)} are no class of the model, which "
            f"has 0 to {frames.classes - 1}: so {share:.0%} of the first image are void",
            file=sys.stderr,
        )


def mixed_precision(wanted: str, device: torch.device) -> AbstractContextManager[object]:
    """Autocast to bf16, or nothing; `auto` decides by what the hardware has instructions for."""
    if wanted == "auto":
        if device.type == "cuda":
            has_bf16 = torch.cuda.is_bf16_supported()
        else:
            capabilities = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
            has_bf16 = any(getattr(torch.cpu, name, bool)() for name in capabilities)
        wanted = "bf16" if has_bf16 else "fp32"
    return torch.autocast(device.type, torch.bfloat16) if wanted == "bf16" else nullcontext()


class Training:
    """One run: AdamW with warm-up and cosine decay, a progress bar, checkpoints that `--resume` continues.

    It ends after `--steps`, or after `--minutes` of training; the learning rate follows whichever is nearer.
    Iterate for the step numbers and call `update` once in each.
    """

    def __init__(
        self, part: str, modules: dict[str, nn.Module], weight_decay: float, arguments: argparse.Namespace
    ) -> None:
        self.part, self.modules, self.arguments = part, modules, arguments
        self.directory: Path = arguments.output
        self.directory.mkdir(parents=True, exist_ok=True)
        self.parameters = [p for module in modules.values() for p in module.parameters()]
        matrices = [p for p in self.parameters if p.ndim > 1]
        others = [p for p in self.parameters if p.ndim <= 1]
        groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=arguments.lr, weight_decay=weight_decay)
        self.rng = np.random.default_rng(arguments.seed)
        self.step, self.elapsed, self.images = 0, 0.0, 0
        self.history: list[dict[str, float]] = []
        self._values: dict[str, list[float]] = {}  # of every step since the last line of the log
        if arguments.resume:
            self._restore()

    @property
    def progress(self) -> float:
        """Between 0 and 1: the share of the steps or of the minutes that is done."""
        minutes = self.arguments.minutes
        return max(self.step / self.arguments.steps, self.elapsed / (60 * minutes) if minutes else 0.0)

    def __iter__(self) -> Iterator[int]:
        saved = started = time.monotonic()
        before = self.elapsed
        bar = tqdm(total=self.arguments.steps, initial=self.step, desc=self.part, unit="step", disable=None)
        with bar:
            while self.progress < 1:
                yield self.step
                self.step += 1
                bar.update()
                now = time.monotonic()
                self.elapsed = before + now - started
                if self.step % LOG_STEPS == 0 or self.progress >= 1:
                    self._log()
                if now - saved > 60 * self.arguments.save_minutes:
                    self.save()
                    saved = now
        self.save()
        plot_history(self.history, self.directory / f"{self.part}.png", self.part)

    def update(self, losses: dict[str, Tensor], images: int, **numbers: float) -> None:
        """One step of the optimiser on the sum of `losses`; `numbers` are only logged."""
        warm = min(1.0, self.progress / 0.03 + 0.01)
        rate = self.arguments.lr * warm * max(0.01, 0.5 + 0.5 * math.cos(math.pi * self.progress))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss = torch.stack(list(losses.values())).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.images += images
        for name, value in {**{k: float(v.detach()) for k, v in losses.items()}, **numbers}.items():
            self._values.setdefault(name, []).append(value)

    def _log(self) -> None:
        means = {name: sum(values) / len(values) for name, values in sorted(self._values.items())}
        self._values = {}
        row = {"step": self.step, "minutes": round(self.elapsed / 60, 2), "images": self.images, **means}
        self.history.append(row)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        tqdm.write(
            f"{self.part}  {100 * self.progress:5.1f} %  step {self.step}  {self.elapsed / 60:.1f} min  "
            f"{self.images / max(self.elapsed, 1e-9):.1f} images/s  {numbers}"
        )

    def save(self) -> None:
        """Writes weights, checkpoint and report, each in one move: a stop at any time leaves whole files."""
        weights = {k: v.contiguous() for k, v in self.modules[self.part].state_dict().items()}
        checkpoint = {
            "modules": {name: module.state_dict() for name, module in self.modules.items()},
            "optimiser": self.optimiser.state_dict(),
            "state": [self.step, self.elapsed, self.images, self.history],
            "rng": self.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
        }
        settings = {k: v for k, v in vars(self.arguments).items() if k not in ("run", "command", "resume")}
        report = {"part": self.part, **json.loads(json.dumps(settings, default=str)), "history": self.history}
        name = f"{self.directory}/{self.part}"
        save_file(weights, f"{name}.safetensors.new")
        torch.save(checkpoint, f"{name}.checkpoint.pt.new")
        Path(f"{name}.json.new").write_text(json.dumps(report, indent=1) + "\n")
        for kind in ("safetensors", "checkpoint.pt", "json"):
            Path(f"{name}.{kind}.new").replace(f"{name}.{kind}")

    def _restore(self) -> None:
        path = self.directory / f"{self.part}.checkpoint.pt"
        if not path.is_file():
            raise ValueError(
                f"{path}: no such file (expected with --resume: the checkpoint of a stopped run)"
            )
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=False)
            for name, module in self.modules.items():
                module.load_state_dict(checkpoint["modules"][name])
            self.optimiser.load_state_dict(checkpoint["optimiser"])
            self.step, self.elapsed, self.images, self.history = checkpoint["state"]
            self.rng.bit_generator.state = checkpoint["rng"]
            torch.set_rng_state(checkpoint["torch_rng"])
        except (RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError) as e:
            what = " ".join(str(e).split())
            raise ValueError(f"{path}: {what} (expected: the checkpoint of a run of the same model)") from e


def plot_history(history: list[dict[str, float]], path: Path, title: str) -> None:
    """The logged numbers over the steps, on a logarithmic scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(title=title, xlabel="step", yscale="log")
    names = {name: None for row in history for name in row if name not in ("step", "minutes", "images")}
    for name in names:
        rows = [row for row in history if row.get(name, 0) > 0]
        if rows:
            axes.plot([row["step"] for row in rows], [row[name] for row in rows], label=name)
    axes.grid(alpha=0.3)
    if names:
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)
