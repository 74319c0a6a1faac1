"""Any timm model that keeps a patch grid, as a backbone (the extra `timm`)."""

from __future__ import annotations

import difflib
import importlib
import sys
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import torch
from torch import Tensor, nn

from uplift_toolkit.weights import State, WeightsError, beneath, load_strict


@dataclass(frozen=True)
class TimmConfig:
    """A model's name in timm, its channels and patch (both checked)."""

    name: str
    dim: int
    patch: int


def import_timm() -> ModuleType:
    """timm; ValueError says what is missing, or does not fit: a torchvision of another build than torch's."""
    try:
        return importlib.import_module("timm")
    except Exception as e:  # a torchvision that does not fit fails with anything from OSError to RuntimeError
        if isinstance(e, ModuleNotFoundError) and e.name == "timm":
            raise ValueError("timm: not installed (expected: pip install 'uplift-toolkit[timm]')") from e
        what = str(e).strip().partition("\n")[0]
        raise ValueError(
            f"timm cannot be imported: {type(e).__name__}: {what} (expected: a torchvision of the same build"
            f" as torch {torch.__version__}; the toolkit's README has the line that installs both)"
        ) from e


class TimmBackbone(nn.Module):
    """Normalised images [N,3,H,W] to features [N,dim,H/patch,W/patch], after the final norm.

    It is built for images of `size` (height, width). Where timm's class takes images of others too, as
    training has them, positions are resampled for those.
    """

    def __init__(self, config: TimmConfig, size: tuple[int, int], any_size: bool = True) -> None:
        super().__init__()
        timm = import_timm()
        self.config, self.size = config, size
        self.channels, self.patch = config.dim, config.patch
        try:
            create = partial(timm.create_model, config.name, num_classes=0, img_size=size)
            try:
                self.model, self.any_size = create(dynamic_img_size=any_size), any_size
            except TypeError as e:
                if "'dynamic_img_size'" not in str(e):
                    raise
                self.model, self.any_size = create(), False
        except (
            Exception
        ) as e:  # unknown names and models without img_size fail with RuntimeError, TypeError, …
            what = " ".join(str(e).split())[:200]
            near = difflib.get_close_matches(config.name, timm.list_models(), 3)
            known = f"; timm has {', '.join(near)}" if near and config.name not in near else ""
            raise ValueError(
                f"timm: {config.name}: {what} (expected: a model with a patch grid{known})"
            ) from e
        patch = getattr(getattr(self.model, "patch_embed", None), "patch_size", None)
        patch = (patch, patch) if isinstance(patch, int) else patch
        if patch is None or tuple(patch) != (config.patch, config.patch):
            raise ValueError(f"{config.name}: patch {patch} (expected: {(config.patch, config.patch)})")
        if self.model.num_features != config.dim:
            raise ValueError(f"{config.name}: {self.model.num_features} channels (expected: {config.dim})")
        trained = self.model.pretrained_cfg
        self.normalise = (tuple(trained["mean"]), tuple(trained["std"]))
        self.prefix = int(getattr(self.model, "num_prefix_tokens", 0))
        self._check_grid()

    @torch.inference_mode()
    def _check_grid(self) -> None:
        """ValueError unless an image gives a token for every patch: hierarchical models give other maps."""
        height, width = self.size
        expected = [1, self.prefix + height // self.patch * (width // self.patch), self.channels]
        training = self.model.training
        try:
            found = list(self.model.eval().forward_features(torch.zeros(1, 3, height, width)).shape)
        except Exception as e:  # a model that does not take the size fails with anything
            what = " ".join(str(e).split())[:200]
            raise ValueError(f"timm: {self.config.name}: {what} (expected: a model with a patch grid)") from e
        if found != expected:
            raise ValueError(
                f"timm: {self.config.name} gives {found} for an image of {width}x{height} (expected: "
                f"{expected}: a model with a patch grid, and no token beside it that timm does not tell of)"
            )
        self.model.train(training)

    def of_one_size(self) -> TimmBackbone:
        """The same for images of `size` alone: a trace of one for any size would hold a device."""
        fixed = TimmBackbone(self.config, self.size, any_size=False)
        fixed.load_state_dict(self.state_dict())
        return fixed.train(self.training)

    def forward(self, images: Tensor) -> Tensor:
        height, width = int(images.shape[2]), int(images.shape[3])
        if not self.any_size and (height, width) != self.size:
            own = f"{self.size[1]}x{self.size[0]}"
            raise ValueError(
                f"timm: {self.config.name}: an image of {width}x{height} (expected: {own}, the only size "
                "that timm's class takes once it is built; train-backbone and train-upsampler need others)"
            )
        tokens = self.model.forward_features(images)[:, self.prefix :].transpose(1, 2)
        return tokens.reshape(images.shape[0], self.channels, height // self.patch, width // self.patch)

    def load(self, state: State, source: object) -> None:
        """Loads a checkpoint as timm's own loader reads it, but strictly.

        Position embeddings are resampled, the names of other publishers translated and the classifier left
        out where timm does so. WeightsError names what is missing, surplus or of another shape.
        """
        own = self.model.state_dict()
        state, source = beneath(state, [own], source)
        filtered = getattr(sys.modules[type(self.model).__module__], "checkpoint_filter_fn", None)
        fits = {n: v.shape for n, v in state.items()} == {n: v.shape for n, v in own.items()}
        if filtered is not None and not fits:
            try:
                state = filtered(state, self.model)
            except RuntimeError as e:  # timm takes every stored grid of positions for a square one
                raise WeightsError(
                    f"{source}: {' '.join(str(e).split())[:200]} (expected: positions of a square image, or"
                    f" of {self.size[1]}x{self.size[0]})"
                ) from e
        load_strict(self.model, state, source, ignore=("head.", "fc_norm."))
