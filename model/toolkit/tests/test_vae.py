"""Stable Diffusion's autoencoder against a second implementation, and its import."""

import json

import pytest
import torch
import torch.nn.functional as F
import yaml
from conftest import randomise
from plain_upsamplers import conv
from safetensors.torch import load_file, save_file
from torch import nn

from uplift_toolkit.__main__ import main
from uplift_toolkit.vae import Vae, load_vae
from uplift_toolkit.weights import WeightsError

OPTIONS = {"block_out_channels": [8, 8, 12], "layers_per_block": 1, "norm_num_groups": 4}


def norm(x, p, name):
    return F.group_norm(x, 4, p[f"{name}.weight"], p[f"{name}.bias"], eps=1e-6)


def resnet(x, p, name):
    y = conv(F.silu(norm(x, p, f"{name}.norm1")), p, f"{name}.conv1")
    y = conv(F.silu(norm(y, p, f"{name}.norm2")), p, f"{name}.conv2")
    return y + (conv(x, p, f"{name}.conv_shortcut") if f"{name}.conv_shortcut.weight" in p else x)


def middle(x, p, name):
    x = resnet(x, p, f"{name}.resnets.0")
    channels = x.shape[1]
    y = norm(x, p, f"{name}.attentions.0.group_norm").flatten(2)

    def linear(z, what):
        weight, bias = (p[f"{name}.attentions.0.{what}.{part}"] for part in ("weight", "bias"))
        return torch.einsum("oc,ncp->nop", weight, z) + bias[:, None]

    scores = torch.einsum("ncp,ncq->npq", linear(y, "to_q"), linear(y, "to_k")) / channels**0.5
    y = linear(torch.einsum("npq,ncq->ncp", scores.softmax(2), linear(y, "to_v")), "to_out.0")
    return resnet(x + y.reshape(x.shape), p, f"{name}.resnets.1")


def plain_encode(p, image):
    x = conv(image, p, "encoder.conv_in")
    for level in range(3):
        x = resnet(x, p, f"encoder.down_blocks.{level}.resnets.0")
        if level < 2:
            down = f"encoder.down_blocks.{level}.downsamplers.0.conv"
            x = F.conv2d(F.pad(x, (0, 1, 0, 1)), p[f"{down}.weight"], p[f"{down}.bias"], stride=2)
    x = F.silu(norm(middle(x, p, "encoder.mid_block"), p, "encoder.conv_norm_out"))
    return conv(conv(x, p, "encoder.conv_out"), p, "quant_conv")[:, :4]


def plain_decode(p, latent):
    x = middle(conv(conv(latent, p, "post_quant_conv"), p, "decoder.conv_in"), p, "decoder.mid_block")
    for level in range(3):
        for i in range(2):
            x = resnet(x, p, f"decoder.up_blocks.{level}.resnets.{i}")
        if level < 2:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = conv(x, p, f"decoder.up_blocks.{level}.upsamplers.0.conv")
    return conv(F.silu(norm(x, p, "decoder.conv_norm_out")), p, "decoder.conv_out")


@pytest.fixture
def case(tmp_path):
    """A case as `parity` reads it, of the second implementation's outputs."""
    vae = randomise(Vae(**OPTIONS))
    for part in vae.modules():
        if isinstance(part, nn.GroupNorm):
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.normal_(part.bias, 0, 0.2)
    state = vae.state_dict()
    inputs = {"image": torch.randn(2, 3, 20, 12), "latent": torch.randn(2, 4, 5, 3)}
    outputs = {"mean": plain_encode(state, inputs["image"]), "decoded": plain_decode(state, inputs["latent"])}
    directory = tmp_path / "sdvae"
    directory.mkdir()
    (directory / "config.yaml").write_text(yaml.safe_dump({**OPTIONS, "scaling_factor": 0.18215}))
    (directory / "case.json").write_text(json.dumps({"system": "sdvae"}))
    save_file(state, directory / "weights.safetensors")
    save_file({**inputs, **{k: v.contiguous() for k, v in outputs.items()}}, directory / "case.safetensors")
    return directory


def test_two_implementations_agree(case, capsys):
    assert main(["parity", str(case)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert [row[2] for row in rows] == ["mean", "decoded"]
    assert all(float(row[3]) < 1e-5 for row in rows)
    tensors = load_file(case / "case.safetensors")
    tensors["decoded"][0, 0, 0, 0] += 1
    save_file(tensors, case / "case.safetensors")
    assert main(["parity", str(case)]) == 1


def test_older_names_of_the_attention_are_read(case, tmp_path):
    state = load_file(case / "weights.safetensors")
    older = {}
    for name, value in state.items():
        for new, old in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            if f".{new}." in name:
                name = name.replace(new, old)
                value = value[:, :, None, None] if value.ndim == 2 else value
        older[name] = value
    torch.save({"state_dict": older}, tmp_path / "vae.pth")
    vae = Vae(**OPTIONS)
    load_vae(vae, tmp_path / "vae.pth")
    for name, value in vae.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_missing_tensor_is_named(case):
    state = load_file(case / "weights.safetensors")
    del state["decoder.mid_block.attentions.0.to_v.bias"]
    save_file(state, case / "weights.safetensors")
    with pytest.raises(WeightsError, match=r"missing: decoder.mid_block.attentions.0.to_v.bias \[12\]"):
        load_vae(Vae(**OPTIONS), case / "weights.safetensors")


def test_the_published_size():
    with torch.device("meta"):
        assert sum(p.numel() for p in Vae().parameters()) == 83_653_863
    with pytest.raises(ValueError, match="down_block_types"):
        Vae(down_block_types=["AttnDownBlock2D"] * 4)
