"""Checkpoints as others publish them: the tensors' names in vision transformers, the UPLiFT authors' models.

Names as in the code of the DINOv2, DINOv3 and UPLiFT authors, of timm and of transformers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from uplift_toolkit.uplift import uplift_config
from uplift_toolkit.vit import ViT, rotary_periods
from uplift_toolkit.weights import (
    State,
    WeightsError,
    beneath,
    check_names_and_shapes,
    load_strict,
    split_entry,
)

Names = Mapping[str, tuple[str, ...]]
ZERO = ""


@dataclass(frozen=True)
class Dialect:
    """Somebody's names for the tensors of a `ViT`.

    `names` maps a fragment of our name to theirs; several are the parts of our tensor, in order along its
    first axis, and ZERO is a part that is not stored. `plain` and `gated` hold for one kind of MLP only.
    """

    publisher: str
    marker: str  # the name of a tensor that only these checkpoints have
    names: Names
    plain: Names = field(default_factory=dict)
    gated: Names = field(default_factory=dict)
    unused: tuple[str, ...] = ()  # names, or beginnings and ends of names, that only pretraining reads
    class_position: bool = False  # beside registers, the class token's position is stored with the patches'
    masked_key_bias: bool = False  # the middle third of the bias of queries, keys and values counts as zero

    def sources(self, name: str, gated: bool) -> list[str]:
        """The names of the tensors that make up our tensor `name`."""
        found = [name]
        for ours, theirs in {**self.names, **(self.gated if gated else self.plain)}.items():
            if ours in name:
                found = [n.replace(ours, t) if t else ZERO for n in found for t in theirs]
        return found


_PROJECTIONS = (".attention.q_proj.", ".attention.k_proj.", ".attention.v_proj.")

DIALECTS = (
    Dialect(
        "the DINOv3 authors",
        marker="storage_tokens",
        names={"reg_token": ("storage_tokens",)},
        gated={".mlp.fc1.": (".mlp.w1.", ".mlp.w2."), ".mlp.fc2.": (".mlp.w3.",)},
        unused=("mask_token", "rope_embed.periods", "local_cls_norm.", ".qkv.bias_mask"),
        masked_key_bias=True,
    ),
    Dialect(
        "timm (DINOv3)",
        marker="blocks.0.gamma_1",
        names={
            ".ls1.gamma": (".gamma_1",),
            ".ls2.gamma": (".gamma_2",),
            ".attn.qkv.bias": (".attn.q_bias", ZERO, ".attn.v_bias"),
        },
        gated={".mlp.fc1.": (".mlp.fc1_g.", ".mlp.fc1_x.")},
    ),
    Dialect(
        "transformers (DINOv3)",
        marker="layer.0.norm1.weight",
        names={
            "cls_token": ("embeddings.cls_token",),
            "reg_token": ("embeddings.register_tokens",),
            "patch_embed.proj.": ("embeddings.patch_embeddings.",),
            "blocks.": ("layer.",),
            ".attn.qkv.weight": tuple(f"{p}weight" for p in _PROJECTIONS),
            ".attn.qkv.bias": (f"{_PROJECTIONS[0]}bias", ZERO, f"{_PROJECTIONS[2]}bias"),
            ".attn.proj.": (".attention.o_proj.",),
            ".ls1.gamma": (".layer_scale1.lambda1",),
            ".ls2.gamma": (".layer_scale2.lambda1",),
        },
        plain={".mlp.fc1.": (".mlp.up_proj.",), ".mlp.fc2.": (".mlp.down_proj.",)},
        gated={".mlp.fc1.": (".mlp.gate_proj.", ".mlp.up_proj."), ".mlp.fc2.": (".mlp.down_proj.",)},
        unused=("embeddings.mask_token",),
    ),
    Dialect(
        "transformers (DINOv2)",
        marker="encoder.layer.0.norm1.weight",
        names={
            "cls_token": ("embeddings.cls_token",),
            "reg_token": ("embeddings.register_tokens",),
            "pos_embed": ("embeddings.position_embeddings",),
            "patch_embed.proj.": ("embeddings.patch_embeddings.projection.",),
            "blocks.": ("encoder.layer.",),
            ".attn.qkv.": tuple(f".attention.attention.{p}." for p in ("query", "key", "value")),
            ".attn.proj.": (".attention.output.dense.",),
            ".ls1.gamma": (".layer_scale1.lambda1",),
            ".ls2.gamma": (".layer_scale2.lambda1",),
            "norm.": ("layernorm.",),
        },
        gated={".mlp.fc1.": (".mlp.weights_in.",), ".mlp.fc2.": (".mlp.weights_out.",)},
        unused=("embeddings.mask_token",),
        class_position=True,
    ),
    Dialect(
        "the DINOv2 authors",
        marker="mask_token",
        names={"reg_token": ("register_tokens",)},
        gated={".mlp.fc1.": (".mlp.w12.",), ".mlp.fc2.": (".mlp.w3.",)},
        unused=("mask_token",),
        class_position=True,
    ),
)


def load_vit(vit: ViT, state: State, source: object) -> None:
    """Loads a checkpoint in our names (those of timm's ViT) or in any dialect, wherever in the file they lie.

    WeightsError names, as the checkpoint does, what is missing, surplus or of another shape.
    """
    own = vit.state_dict()
    expected = [own, *(in_dialect(d, own) for d in DIALECTS)]
    state, source = beneath(state, expected, source, _without_chunks)
    dialect = next((d for d in DIALECTS if d.marker in state), None)
    if dialect is None:
        # timm's checkpoints of classifiers carry the classifier, which a backbone has no use for
        load_strict(vit, state, source, ignore=("head.",))
        return
    _check_periods(vit, state, source)
    unused = dialect.unused
    state = {n: v for n, v in state.items() if not n.startswith(unused) and not n.endswith(unused)}
    state = _without_zero_biases(vit, dialect, state, source)
    check_names_and_shapes(in_dialect(dialect, vit.state_dict()), state, source)
    vit.load_state_dict(_in_our_names(vit, dialect, state))


def _without_chunks(name: str) -> str:
    """DINOv2's training code stores blocks in chunks: the block's own number is behind the chunk's."""
    return re.sub(r"(^|\.)blocks\.\d+\.(\d+)\.", r"\1blocks.\2.", name)


def in_dialect(dialect: Dialect, own: State) -> State:
    """The tensors of a ViT as this publisher would store them, without what only pretraining reads."""
    theirs: State = {}
    for name, value in own.items():
        sources = dialect.sources(name, _is_gated(own))
        parts = value.chunk(len(sources)) if len(sources) > 1 else (value,)
        theirs |= {s: part for s, part in zip(sources, parts, strict=True) if s}
    if dialect.class_position and {"reg_token", "pos_embed"} <= set(own):
        position = dialect.sources("pos_embed", False)[0]
        theirs[position] = torch.cat([torch.zeros_like(own["cls_token"]), own["pos_embed"]], dim=1)
    return theirs


def _in_our_names(vit: ViT, dialect: Dialect, state: State) -> State:
    own = vit.state_dict()
    ours: State = {}
    for name, value in own.items():
        sources = dialect.sources(name, _is_gated(own))
        zero = torch.zeros(len(value) // len(sources), *value.shape[1:])
        ours[name] = torch.cat([state[s] if s else zero for s in sources])
        if dialect.masked_key_bias and name.endswith(".attn.qkv.bias"):
            queries, keys, values = ours[name].chunk(3)
            ours[name] = torch.cat([queries, torch.zeros_like(keys), values])
    if dialect.class_position and "reg_token" in own:
        ours["cls_token"] = ours["cls_token"] + ours["pos_embed"][:, :1]
        ours["pos_embed"] = ours["pos_embed"][:, 1:]
    return ours


def _is_gated(own: State) -> bool:
    return own["blocks.0.mlp.fc1.weight"].shape[0] != own["blocks.0.mlp.fc2.weight"].shape[1]


def _without_zero_biases(vit: ViT, dialect: Dialect, state: State, source: object) -> State:
    """DINOv3's biases of queries and values are all zero, and its models are also built without them."""
    if vit.config.qkv_bias:
        return state
    state = dict(state)
    for i in range(vit.config.depth):
        for name in filter(None, dialect.sources(f"blocks.{i}.attn.qkv.bias", False)):
            bias = state.pop(name, None)
            if bias is None:
                continue
            kept = bias.chunk(3)[::2] if dialect.masked_key_bias else [bias]
            if any(part.any() for part in kept):
                raise WeightsError(f"{source}: {name} is not zero (expected with qkv_bias false: zero)")
    return state


def _check_periods(vit: ViT, state: State, source: object) -> None:
    """Stored rotary periods are ours, rounded to bf16: others belong to a model that is not computed here."""
    stored = state.get("rope_embed.periods")
    if stored is None:
        return
    own = rotary_periods(vit.config.dim // vit.config.heads)
    if stored.shape != own.shape or not torch.allclose(stored.float(), own, rtol=0.01):
        raise WeightsError(f"{source}: rope_embed.periods {stored.tolist()} (expected: {own.tolist()})")


def official_uplift_config(source: str) -> dict[str, Any]:
    """The configuration, in the authors' keys, of the UPLiFT checkpoint that they publish by this name."""
    name = split_entry(source)[0].rsplit("/", 1)[-1].rsplit(".", 1)[0]
    if name == "uplift_dinov2-s14":
        return uplift_config(384, 14)
    if name == "uplift_dinov3-splus16":
        return uplift_config(384, 16)
    if name == "uplift_sd1.5vae":
        return _vae_config()
    raise ValueError(
        f"upsampler: {name} is none of the authors' checkpoints uplift_dinov2-s14, uplift_dinov3-splus16 and "
        "uplift_sd1.5vae (expected of others: config: FILE, the authors' yaml, or uplift: {…})"
    )


def _vae_config() -> dict[str, Any]:
    """The upsampler of Stable Diffusion 1.5's latents: it ends in a refiner and draws noise at every call."""

    def blocks(count: int, width: int) -> dict[str, Any]:
        return {"block": "SingleConv", "norm": "layer", "count": count, "hc": [width] * count}

    config = uplift_config(4, 8, encoder=(64, 128, 256, 512, 512), decoder=512)
    uplift = config["uplift"]
    for i, width in enumerate((64, 128, 256, 512, 512)):
        uplift["encoder"][f"block_{i}"] = blocks(2, width)
    uplift["decoder"] |= {"ncat_c": 4, "block_0": blocks(1, 512), "block_1": blocks(2, 512)}
    uplift["no_UEP"] = True  # the encoder reads the image as it is, in 0 to 1
    uplift["refiner"] = {"enc_resample": "nearest", "ncat_c": 4, "ncat_s": 1, "ref_con": -1}
    uplift["refiner"]["block_0"] = blocks(12, 512)
    return config
