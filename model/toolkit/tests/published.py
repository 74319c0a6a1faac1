"""Random weights of full size under the names that their publishers use: what tests/full_size imports.

python tests/published.py MODEL DIR WIDTH HEIGHT
"""

import sys
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from uplift_toolkit.checkpoints import DIALECTS, in_dialect
from uplift_toolkit.uplift import Uplift, uplift_config
from uplift_toolkit.vit import MODELS, ViT

DINOV3_TIMM, DINOV2_AUTHORS = DIALECTS[1], DIALECTS[4]
# Backbone and its file; the upsampler's file, where its authors published one.
PUBLISHED = {
    "dinov2-s14": ("vit_small_patch14_dinov2", "dinov2_vits14_pretrain.pth", "uplift_dinov2-s14"),
    "dinov3-splus16": ("vit_small_plus_patch16_dinov3", "model.safetensors", "uplift_dinov3-splus16"),
    "dinov2-b14": ("vit_base_patch14_dinov2", "dinov2_vitb14_pretrain.pth", None),
}


def random_weights(module: nn.Module) -> nn.Module:
    """No term at its neutral value, and maps that keep their size from layer to layer."""
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 1.5)
        elif name.endswith("running_mean") or name.endswith("bias"):
            nn.init.normal_(value, 0, 0.2)
        elif value.ndim == 1:
            nn.init.uniform_(value, 0.5, 1.5) if "gamma" not in name else nn.init.uniform_(value, 0.1, 0.5)
        elif value.is_floating_point() and value.ndim > 1:
            nn.init.normal_(value, 0, 0.5 if "token" in name or "pos_" in name else value[0].numel() ** -0.5)
    return module.eval()


def write(model: str, directory: Path, size: tuple[int, int]) -> Path:
    """Writes the checkpoint files, model.yaml and an image of `size` (width, height); returns model.yaml."""
    torch.manual_seed(0)
    (directory / "images").mkdir(parents=True, exist_ok=True)
    backbone, file, uplift = PUBLISHED[model]
    config = MODELS[backbone]
    own = random_weights(ViT(config)).state_dict()
    if "dinov2" in backbone:
        state = in_dialect(DINOV2_AUTHORS, own)
        torch.save(state | {"mask_token": torch.zeros(1, config.dim)}, directory / file)
    else:
        state = in_dialect(DINOV3_TIMM, own)
        save_file({name: value.contiguous() for name, value in state.items()}, directory / file)
    upsampler = random_weights(Uplift(uplift_config(config.dim, config.patch)))
    save_file(upsampler.state_dict(), directory / f"{uplift or 'upsampler'}.safetensors")
    parts = {"bn": nn.BatchNorm2d(config.dim), "conv_seg": nn.Conv2d(config.dim, 150, 1)}
    head = random_weights(nn.ModuleDict({"decode_head": nn.ModuleDict(parts)})).state_dict()
    torch.save({"meta": {}, "state_dict": head}, directory / "ade20k_linear_head.pth")
    weights = {"weights": f"{uplift or 'upsampler'}.safetensors"}
    if uplift is None:
        weights["uplift"] = {"neighbours": 17}
    same = {"channels": 150, "weights": "ade20k_linear_head.pth"}
    description = {
        "name": model,
        "version": "0.0.0",
        "description": "Random weights under published names.",
        "license": "none",
        "input": {"width": size[0], "height": size[1], "maxBatch": 2},
        "backbone": {"vit": backbone, "weights": file},
        "upsampler": {"steps": 4, **weights},
        "heads": [
            {"name": "segmentation", "kind": "segmentation", **same},
            {"name": "logits", "kind": "features", "dtype": "float32", **same},
        ],
        "labels": "ade20k",
    }
    (directory / "model.yaml").write_text(yaml.safe_dump(description, sort_keys=False))
    small = np.random.default_rng(0).integers(0, 256, (size[1] // 14, size[0] // 14, 3), np.uint8)
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    image.save(directory / "images" / "frame.png")
    return directory / "model.yaml"


if __name__ == "__main__":
    print(write(sys.argv[1], Path(sys.argv[2]), (int(sys.argv[3]), int(sys.argv[4]))))
