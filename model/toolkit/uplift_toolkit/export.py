"""Export of a bundle: TorchScript variants, labels, golden case, manifest and card."""

import argparse
import copy
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from uplift_toolkit.bundle import INT8, VARIANTS, Bundle, BundleError, Variant, manifest_of, write_manifest
from uplift_toolkit.data import sources
from uplift_toolkit.fast.quantise import quantise
from uplift_toolkit.graph import BackboneGraph, Normalise, finish, upsampler_graph
from uplift_toolkit.images import read_image
from uplift_toolkit.model import DenseModel, InputConfig, ModelConfig
from uplift_toolkit.onednn import avoid_wide_convolutions
from uplift_toolkit.operators import LIBRARY, OperatorUpsampler, load_operators, operators_loaded
from uplift_toolkit.timm_backbone import TimmBackbone
from uplift_toolkit.upsamplers import UPLIFT

CALIBRATION = 32  # images; with 12, 0.9987 of the shipped model's labels were those of fp32


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Says on standard error what is being done, and then how long it took."""
    print(f"{what} …", end="", file=sys.stderr, flush=True)
    begin = time.monotonic()
    took = ""
    try:
        yield
        took = f" {time.monotonic() - begin:.1f} s"
    finally:
        print(took, file=sys.stderr, flush=True)


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """torch.jit is deprecated but is what libtorch 2.7 loads; and sizes are meant to be constants here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit.*")
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield


def trace(module: nn.Module, *inputs: Tensor) -> torch.jit.ScriptModule:
    """Traced, then frozen: any batch size, the inputs' height and width. Changes layers of the module."""
    avoid_wide_convolutions(module)
    with quiet_tracing(), torch.no_grad():
        return torch.jit.freeze(torch.jit.trace(module.eval(), inputs, check_trace=False))


def save(module: torch.jit.ScriptModule, path: Path) -> None:
    """Writes TorchScript without its debug records, which name the source files of the exporting machine."""
    module.save(str(path))
    reader = torch._C.PyTorchFileReader(str(path))
    records = reader.get_all_records()
    own = ("version", ".data/version", "byteorder", ".data/serialization_id")  # the writer adds these itself
    contents = {
        name: reader.get_record(name)
        for name in records
        if name not in own and not name.endswith(".debug_pkl")
    }
    version = reader.get_record(".data/version" if ".data/version" in records else "version")
    writer = torch._C.PyTorchFileWriter(str(path))
    writer.set_min_version(int(version))  # or operators would be read as those of an older format
    for name, content in contents.items():
        writer.write_record(name, content, len(content))
    writer.write_end_of_file()


class ReadableBackbone(nn.Module):
    """`BackboneGraph` from the backbone as it is written to be read."""

    def __init__(self, model: DenseModel) -> None:
        super().__init__()
        self.normalise = Normalise(torch.float32, model.config)
        self.backbone = model.backbone

    def forward(self, frames: Tensor) -> Tensor:
        return self.backbone(self.normalise(frames)).contiguous()


class ReadableUpsampler(nn.Module):
    """`upsampler_graph` from the upsampler as it is written to be read."""

    def __init__(self, model: DenseModel) -> None:
        super().__init__()
        self.normalise = Normalise(torch.float32, model.config)
        self.model = model

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.upsample(self.normalise(frames), features)
        return tuple(x for head in self.model.config.heads for x in finish(head, maps[head.name]))


def export_variant(
    model: DenseModel,
    variant: Variant,
    directory: Path,
    readable: bool = False,
    calibration: Sequence[Path] = (),
) -> None:
    """Writes `<variant>/backbone.pt` and `<variant>/upsampler.pt`. The int8 variant has no backbone of
    its own; its maps' ranges are those that `calibration`'s images have."""
    model = copy.deepcopy(model).eval()
    if isinstance(model.backbone, TimmBackbone):
        model.backbone = model.backbone.of_one_size()
    size = model.config.input
    frames = torch.randint(0, 256, (2, size.height, size.width, 3), dtype=torch.uint8)
    if readable:
        backbone, upsampler = ReadableBackbone(model), ReadableUpsampler(model)
    else:
        backbone, upsampler = BackboneGraph(model, variant), upsampler_graph(model, variant)
    backbone, upsampler = backbone.eval(), upsampler.eval()
    with announced(f"{variant.name}: running the backbone"), torch.no_grad():
        features = backbone(frames)
    if variant.precision == "int8":

        def calibrate() -> None:
            for image in calibration:
                frame = torch.from_numpy(golden_frames(size, [image]))
                upsampler(frame, backbone(frame))

        with announced(f"{variant.name}: ranges of {len(calibration)} images"), torch.no_grad():
            quantise(upsampler.upsampler, calibrate)
    (directory / variant.name).mkdir(parents=True, exist_ok=True)
    files = variant.manifest()
    for part, graph, inputs in (
        ("backbone", backbone, (frames,)),
        ("upsampler", upsampler, (frames, features)),
    ):
        if not files[part].startswith(f"{variant.name}/"):
            continue  # another variant's
        with announced(f"{variant.name}: tracing the {part}"):
            traced = trace(graph, *inputs)
        with announced(f"{variant.name}: writing {files[part]}"), quiet_tracing():
            save(traced, directory / files[part])


def export_operators(model: DenseModel, variant: Variant, directory: Path) -> dict[str, str] | None:
    """Writes `<variant>/upsampler-operators.pt` and returns the manifest's entry for it; None, and a line of
    why, where there is no library of operators or the model has no such graph."""
    file = f"{variant.name}/upsampler-operators.pt"
    if not operators_loaded():
        why = "no library of operators (expected for another: --operators FILE or UPLIFT_OPERATORS)"
        print(f"{variant.name}: the portable graph alone: {why}", file=sys.stderr)
        return None
    try:
        graph = OperatorUpsampler(copy.deepcopy(model).eval(), variant.dtype)
    except ValueError as error:
        print(f"{variant.name}: the portable graph alone: {error}", file=sys.stderr)
        return None
    config = model.config
    frames = torch.zeros(2, *config.input.size, 3, dtype=torch.uint8)
    features = torch.zeros(2, config.backbone.dim, *config.grid)
    with announced(f"{variant.name}: tracing and writing {file}"), quiet_tracing():
        save(trace(graph, frames, features), directory / file)
    return {"upsampler": file, "library": LIBRARY}


def golden_frames(size: InputConfig, images: Sequence[Path]) -> np.ndarray:
    """u8 [N,H,W,3]: the images, resized; without images two of smooth random colours, always the same."""
    if images:
        opened = [_opened(path) for path in images]
    else:
        shape = (2, size.height // 16, size.width // 16, 3)
        small = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        opened = [Image.fromarray(frame) for frame in small]
    return np.stack(
        [np.asarray(i.resize((size.width, size.height), Image.Resampling.BILINEAR)) for i in opened]
    )


def _opened(path: Path) -> Image.Image:
    try:
        return read_image(path)
    except FileNotFoundError:
        raise
    except Exception as e:  # decoders fail with anything
        raise ValueError(f"{path}: {' '.join(str(e).split())}") from e


def card(config: ModelConfig, note: str) -> str:
    """The bundle's README.md."""
    rows = []
    for head in config.heads:
        height, width = config.size_of(head)
        rows.append(
            f"| {head.name} | {head.kind} | {head.channels} | {width} x {height} | {head.unit or ''} |"
        )
    table = "\n".join(["| head | kind | channels | width x height | unit |", "|---|---|---|---|---|", *rows])
    return f"# {config.name} {config.version}\n\n{config.description}\n\n{table}\n\n{note.strip()}\n"


def export_bundle(
    model: DenseModel,
    directory: Path,
    images: Sequence[Path] = (),
    note: str = "",
    readable: bool = False,
    calibration: Sequence[Path] = (),
    operators: Sequence[str] = ("cuda",),
) -> Bundle:
    """Writes the whole bundle; with cpu-int8 if there are images for its calibration.

    Variants for the devices in `operators` get a second upsampler, which calls the operators of `model/cuda`.

    A `readable` one says so in its name and has cpu-fp32 alone, of the graphs that are written to be read.
    """
    config = model.config
    variants = (*VARIANTS, INT8) if calibration else VARIANTS
    if readable:
        config, variants = replace(config, name=f"{config.name}-readable"), VARIANTS[:1]
    golden = directory / "golden"
    for earlier in (golden, *(directory / variant.name for variant in (*VARIANTS, INT8))):
        shutil.rmtree(earlier, ignore_errors=True)
    for variant in variants:
        export_variant(model, variant, directory, readable, calibration)
    (directory / "labels.json").write_text(json.dumps(config.labels, indent=1) + "\n")
    golden.mkdir()
    frames = golden_frames(config.input, images)
    frames.tofile(golden / "frames.bin")
    manifest = manifest_of(config, len(frames), variants)
    for variant, entry in zip(variants, manifest["variants"], strict=True):
        wanted = variant.device in operators and variant != INT8 and not readable
        if wanted and (found := export_operators(model, variant, directory)):
            entry["operators"] = found
    draft = Bundle(directory, manifest, "")
    with announced("computing the golden case with cpu-fp32"):
        for name, output in draft.outputs_by_head(draft.run("cpu-fp32", frames)).items():
            output.tofile(golden / f"{name}.bin")
    (directory / "README.md").write_text(card(config, note))
    with announced("writing the manifest with every file's SHA-256"):
        write_manifest(directory, manifest)
        return Bundle.load(directory)


def calibration_images(directory: Path) -> list[Path]:
    """Images from all over a data set (its training part), or a directory; ValueError if it has none."""
    found = [source.image for source in sources(directory, "train")]
    return found[:: -(-len(found) // CALIBRATION)]


def register(subparsers: argparse._SubParsersAction) -> None:
    parser = subparsers.add_parser(
        "export",
        help="make a bundle from checkpoint files and a configuration",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "Makes a bundle directory: manifest.json, labels.json, README.md, golden/ and the TorchScript\n"
            "variants cpu-fp32, cpu-bf16 and cuda-fp16. Every variant that this machine can run is checked\n"
            "against the golden case before the command ends; a reduced precision that is not exact enough\n"
            "is left out. --int8 adds cpu-int8, whose upsampler convolves 8-bit integers: served where\n"
            "--precision int8 asks for it.\n\n"
            "DIR of --weights holds backbone.safetensors, upsampler.safetensors (the UPLiFT authors' names)\n"
            "and heads.safetensors (<head>.linear.weight [K,C,1,1], <head>.linear.bias [K]). What FILE\n"
            "names weights for (a file, an address or hub:OWNER/NAME/FILE) is taken from there; where that\n"
            "is everything, --weights is not needed. Recipes for published weights: docs/weights.md."
        ),
        epilog=(
            "examples:\n"
            "  python -m uplift_toolkit export --config configs/street.yaml --weights out/street \\\n"
            "      --output ../bundles/street --note card.md\n"
            "  python -m uplift_toolkit export --config configs/dinov2-s14-ade20k.yaml --size 798x448 \\\n"
            "      --output ../bundles/dinov2-s14-ade20k --int8 frames\n"
            "  python -m uplift_toolkit export --config configs/street.yaml --random 0 --output /tmp/bundle"
        ),
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the model's YAML file")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--weights", type=Path, metavar="DIR", help="directory with the checkpoint files")
    source.add_argument("--random", type=int, metavar="SEED", help="random weights, for trying things out")
    parser.add_argument(
        "--size", type=image_size, metavar="WIDTHxHEIGHT", help="of the input, instead of the configuration's"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the bundle's directory")
    parser.add_argument(
        "--golden", type=Path, nargs="*", default=[], metavar="IMAGE", help="images of the golden case"
    )
    parser.add_argument("--note", type=Path, metavar="FILE", help="Markdown to close the bundle's card with")
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--int8",
        type=Path,
        metavar="DIR",
        help=f"also cpu-int8, with the ranges of {CALIBRATION} images of a data set or a directory",
    )
    others.add_argument(
        "--readable",
        action="store_true",
        help="the plain graphs of uplift.py, cpu-fp32 only: slow, to compare the fast ones with",
    )
    parser.add_argument(
        "--operators",
        type=Path,
        default=os.environ.get("UPLIFT_OPERATORS"),
        metavar="FILE",
        help="the library that model/cuda/build makes: cuda-fp16 gets a second upsampler, which calls it"
        " (default: $UPLIFT_OPERATORS)",
    )
    parser.set_defaults(run=run)


def image_size(text: str) -> tuple[int, int]:
    """Width and height."""
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} (expected: WIDTHxHEIGHT, such as 798x448)")
    return int(width), int(height)


def check_operators(bundle: Bundle) -> tuple[Bundle, list[str]]:
    """Runs the golden case on the CPU with every graph that calls operators, behind cpu-fp32's backbone; the
    bundle less those that are not exact enough, and a line for each."""
    lines = []
    for entry in bundle.manifest["variants"]:
        if "operators" not in entry:
            continue
        name = entry["name"]
        try:
            with announced(f"{name}: checking the golden case with operators"):
                report = bundle.verify(name, "cpu-fp32", operators=True)
            numbers = "  ".join(f"{head} {value:.6f}" for head, value in report.items())
        except BundleError as error:
            bundle, numbers = bundle.without_operators(name), f"left out: {error}"
        lines.append(f"  {name:10} with operators, on the CPU: {numbers}")
    return bundle, lines


def run(arguments: argparse.Namespace) -> int:
    if arguments.operators is not None:
        load_operators(arguments.operators)
    config = ModelConfig.load(arguments.config)
    if arguments.int8 is not None and config.kind != UPLIFT:
        raise ValueError(f"--int8: upsampler {config.kind} (expected: {UPLIFT})")
    calibration = [] if arguments.int8 is None else calibration_images(arguments.int8)
    if arguments.size is not None:
        width, height = arguments.size
        config = replace(config, input=replace(config.input, width=width, height=height))
    if arguments.random is not None:
        torch.manual_seed(arguments.random)
        with announced("making random weights"):
            model = DenseModel(config).eval()
        note = "The weights are random: this bundle shows nothing but how a bundle is made."
    else:
        print("loading the weights …", file=sys.stderr, flush=True)  # downloads have lines of their own
        model = DenseModel.load(config, arguments.weights)
        note = ""
    if arguments.note is not None:
        note = arguments.note.read_text()
    bundle = export_bundle(model, arguments.output, arguments.golden, note, arguments.readable, calibration)
    bundle, checks = check_operators(bundle)
    for variant in [Variant(entry["device"], entry["precision"]) for entry in bundle.manifest["variants"]]:
        if variant.device == "cuda" and not torch.cuda.is_available():
            checks.append(f"  {variant.name:10} not checked: no CUDA device here")
            continue
        try:
            with announced(f"{variant.name}: checking the golden case"):
                report = bundle.verify(variant.name)
                if variant == INT8 and any(v["name"] == "cpu-bf16" for v in bundle.manifest["variants"]):
                    report |= {  # what a CPU with bf16 instructions serves
                        f"{head} (bf16 backbone)": value
                        for head, value in bundle.verify(variant.name, "cpu-bf16").items()
                    }
        except BundleError as error:
            if variant.precision == "fp32":
                raise
            bundle = bundle.without(variant.name)
            checks.append(f"  {variant.name:10} left out: {error}")
            continue
        numbers = "  ".join(f"{name} {value:.6f}" for name, value in report.items())
        checks.append(f"  {variant.name:10} {numbers}")
    size = sum(path.stat().st_size for path in arguments.output.rglob("*") if path.is_file())
    print(f"{arguments.output}: {size / 1e6:.1f} MB, sha256 {bundle.sha256}", *checks, sep="\n")
    return 0
