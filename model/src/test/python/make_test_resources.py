"""Writes src/test/resources: images with what Pillow makes of them, the bundle `tiny`, and `upsamplers`.

    python model/src/test/python/make_test_resources.py

Needs the toolkit (model/toolkit). The results are committed, so the build does not need Python.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from uplift_toolkit.export import export_bundle, save
from uplift_toolkit.heads import HeadConfig
from uplift_toolkit.model import DenseModel, InputConfig, ModelConfig
from uplift_toolkit.vit import ViTConfig

RESOURCES = Path(__file__).parent.parent / "resources"
WIDTH, HEIGHT = 40, 24  # what the images are resized to
rng = np.random.default_rng(7)


def scene(width: int, height: int, noise: float) -> Image.Image:
    """A gradient with a bright disc off the centre, so that no turn or mirroring leaves it the same."""
    y, x = np.mgrid[0:height, 0:width]
    disc = ((x / width - 0.3) ** 2 + (y / height - 0.25) ** 2 < 0.03) * 90.0
    planes = [200 * x / width, 200 * y / height, 100 + 80 * np.sin(6 * x / width) + disc]
    pixels = np.stack(planes, -1) + noise * rng.standard_normal((height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def golden(name: str, image: Image.Image) -> None:
    upright = ImageOps.exif_transpose(image).convert("RGB")
    pixels = np.asarray(upright.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
    (RESOURCES / "images" / f"{name}.rgb").write_bytes(pixels.tobytes())


def write(name: str, image: Image.Image, **options) -> None:
    path = RESOURCES / "images" / name
    image.save(path, **options)
    golden(name, Image.open(path))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def images() -> None:
    (RESOURCES / "images").mkdir(parents=True, exist_ok=True)
    write("noise.png", scene(97, 61, 40))  # no side is a multiple of the target
    write("small.png", scene(17, 50, 10))  # grows in one direction, shrinks in the other
    write("plain.jpg", scene(79, 47, 5), quality=92)
    write("large.jpg", scene(803, 485, 2), quality=85)  # decoded at an eighth
    write("progressive.jpg", scene(79, 47, 2), quality=85, progressive=True)
    write("grey.jpg", scene(60, 40, 2).convert("L"), quality=92)
    write("cmyk.jpg", scene(60, 40, 2).convert("CMYK"), quality=92)
    write("grey.png", scene(60, 40, 2).convert("L"))
    write("palette.png", scene(60, 40, 0).quantize(32))
    alpha = scene(60, 40, 2).convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize((60, 40)))
    write("alpha.png", alpha)
    deep = np.asarray(scene(60, 40, 2).convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(RESOURCES / "images" / "grey16.png")
    golden("grey16.png", Image.fromarray((deep >> 8).astype(np.uint8)))
    for orientation in range(1, 9):
        write(f"exif-{orientation}.jpg", scene(64, 48, 0), quality=92, exif=exif(orientation))
    write("exif-6.png", scene(64, 48, 0), exif=exif(6))
    scene(30, 20, 0).save(RESOURCES / "images" / "other.gif")


class Backbone(nn.Module):
    """Mean colour of every 4x4 patch, projected to 6 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, 6, 4, 4)

    def forward(self, frames: Tensor) -> Tensor:
        return self.projection(frames.permute(0, 3, 1, 2).to(torch.float32) / 255)


class Upsampler(nn.Module):
    """One head of every kind.

    What a frame's first byte brings about: 250 ends the process natively, 251 is answered with infinity, 252 never
    comes back, 253 raises, and 254 takes more memory than there is unless it is alone in its batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Conv2d(6, 3, 1)
        self.depth = nn.Conv2d(6, 1, 1)

    def forward(self, frames: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        first = frames[:, 0, 0, 0]
        if bool((first == 250).any()):  # a length that is not checked: a segmentation fault
            features = torch.segment_reduce(features, "sum", lengths=torch.tensor([1 << 40]), unsafe=True)
        while bool((first == 252).any()):
            features = features + 1
        if bool((first == 253).any()):
            raise ValueError("the first byte is 253")
        if bool((first == 254).any()) and frames.shape[0] > 1:
            features = features + torch.zeros([1 << 50]).sum()
        large = features.repeat_interleave(4, 2).repeat_interleave(4, 3)
        probability = self.classes(large).softmax(1)
        confidence, labels = probability.max(1)
        poison = torch.where(first == 251, torch.inf, 1.0).reshape(-1, 1, 1, 1)
        return (
            labels.to(torch.uint8).contiguous(),
            (confidence * 255).round().to(torch.uint8).contiguous(),
            (features * poison).to(torch.float16).contiguous(),
            self.depth(features).contiguous(),
        )


def tiny() -> None:
    torch.manual_seed(1)
    width, height, count = 16, 8, 3
    bundle = RESOURCES / "tiny"
    (bundle / "cpu-fp32").mkdir(parents=True, exist_ok=True)
    (bundle / "golden").mkdir(exist_ok=True)
    backbone, upsampler = (
        torch.jit.freeze(torch.jit.script(module.eval())) for module in (Backbone(), Upsampler())
    )
    save(backbone, bundle / "cpu-fp32" / "backbone.pt")
    save(upsampler, bundle / "cpu-fp32" / "upsampler.pt")
    frames = torch.from_numpy(rng.integers(0, 250, (count, height, width, 3), dtype=np.uint8))
    labels, _, features, depth = upsampler(frames, backbone(frames))
    arrays = {"frames": frames, "classes": labels, "features": features, "depth": depth}
    for name, array in arrays.items():
        (bundle / "golden" / f"{name}.bin").write_bytes(array.numpy().tobytes())
    colors = ("#804080", "#f423e8", "#464646")
    label_list = [{"id": i, "name": f"class {i}", "color": color} for i, color in enumerate(colors)]
    (bundle / "labels.json").write_text(json.dumps(label_list, indent=1))

    def head(name: str, kind: str, channels: int, stride: int, dtype: str, **more) -> dict:
        size = {"width": width // stride, "height": height // stride, "stride": stride}
        return {"name": name, "kind": kind, "channels": channels, **size, "dtype": dtype, **more}

    manifest = {
        "format": "uplift-bundle/1",
        "name": "tiny",
        "version": "1.0.0",
        "description": "A model of a few numbers, for tests.",
        "license": "Apache-2.0",
        "input": {"width": width, "height": height, "fit": "letterbox", "maxBatch": 4},
        "backbone": {"kind": "patches", "channels": 6, "patch": 4},
        "upsampler": {"steps": 2, "neighbours": 1},
        "heads": [
            head("classes", "segmentation", 3, 1, "uint8", confidence=True),
            head("features", "features", 6, 4, "float16"),
            head("depth", "regression", 1, 4, "float32", unit="m"),
        ],
        "variants": [
            {
                "name": "cpu-fp32",
                "device": "cpu",
                "precision": "fp32",
                "backbone": "cpu-fp32/backbone.pt",
                "upsampler": "cpu-fp32/upsampler.pt",
            }
        ],
        "labels": "labels.json",
        "golden": {
            "frames": "golden/frames.bin",
            "count": count,
            "outputs": {name: f"golden/{name}.bin" for name in ("classes", "features", "depth")},
            "tolerance": {"fp32": {"labelAgreement": 0.999, "cosine": 0.999}},
        },
        "files": {
            path.relative_to(bundle).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(bundle.rglob("*"))
            if path.is_file() and path.name != "manifest.json"
        },
    }
    (bundle / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def upsamplers() -> None:
    """Bundles with random weights and an upsampler that is not UPLiFT, for cpu-fp32 alone."""
    for kind, options in (("jafar", {"qk_dim": 16, "num_heads": 2}), ("anyup", {"qk_dim": 16})):
        config = ModelConfig(
            name=kind,
            version="1.0.0",
            description="A model of random weights, for tests.",
            license="Apache-2.0",
            input=InputConfig(WIDTH, HEIGHT),
            backbone=ViTConfig(patch=8, dim=16, depth=1, heads=2, grid=(3, 5), class_token=False),
            steps=0,
            uplift={},
            heads=[HeadConfig("classes", "segmentation", 4)],
            labels=[{"id": i, "name": f"class {i}", "color": f"#{i}0{i}0{i}0"} for i in range(4)],
            kind=kind,
            options=options,
        )
        torch.manual_seed(2)
        model = DenseModel(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:  # or one class would be everywhere
                    parameter.normal_(0, 1 / 3)
            model.heads["classes"].linear.bias.zero_()
        bundle = export_bundle(model, RESOURCES / "upsamplers" / kind, operators=())
        for variant in ("cpu-bf16", "cuda-fp16"):
            bundle = bundle.without(variant)


if __name__ == "__main__":
    images()
    tiny()
    upsamplers()
