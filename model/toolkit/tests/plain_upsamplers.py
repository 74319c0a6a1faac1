"""The other upsamplers once more, as plain as can be: from a state dict, pixel by pixel where that is short.

Nothing here is shared with `uplift_toolkit.upsamplers`; what the two have in common are the formulas.
"""

import math

import torch
import torch.nn.functional as F


def pooled(x, size):
    """Adaptive average pooling, cell by cell."""
    height, width = x.shape[2:]
    rows = []
    for i in range(size[0]):
        top, bottom = i * height // size[0], -(-(i + 1) * height // size[0])
        cells = []
        for j in range(size[1]):
            left, right = j * width // size[1], -(-(j + 1) * width // size[1])
            cells.append(x[:, :, top:bottom, left:right].mean((2, 3)))
        rows.append(torch.stack(cells, dim=2))
    return torch.stack(rows, dim=2)


def conv(x, p, name, reflect=False):
    weight, bias = p[f"{name}.weight"], p.get(f"{name}.bias")
    pad = weight.shape[2] // 2
    return F.conv2d(F.pad(x, (pad,) * 4, mode="reflect" if reflect and pad else "constant"), weight, bias)


def norm(x, p, name):
    return F.group_norm(x, 8, p[f"{name}.weight"], p[f"{name}.bias"])


def batch_norm(x, p, name):
    n = {key: p[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")}
    return F.relu(F.batch_norm(x, *n.values()))


def layer_norm(x, p, name, eps=1e-5):
    """Over the channels, dimension 1."""
    centred = x - x.mean(1, keepdim=True)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    scaled = centred / (centred.square().mean(1, keepdim=True) + eps).sqrt()
    return scaled * p[f"{name}.weight"].reshape(shape) + p[f"{name}.bias"].reshape(shape)


def unit(x):
    return x / x.norm(dim=1, keepdim=True)


def residual(x, p, block, names):
    y = conv(F.silu(norm(x, p, f"{block}.{names[0]}")), p, f"{block}.{names[1]}")
    x = conv(x, p, f"{block}.shortcut") if f"{block}.shortcut.weight" in p else x
    return x + conv(F.silu(norm(y, p, f"{block}.{names[2]}")), p, f"{block}.{names[3]}")


def encoded(x, p, name, names):
    x = conv(x, p, f"{name}.0", reflect=True)
    for i in (1, 2):
        x = residual(x, p, f"{name}.{i}", names)
    return x


def edge_rope(e, freqs):
    height, width = e.shape[2:]
    y, x = torch.linspace(0, 1, height)[:, None, None], torch.linspace(0, 1, width)[None, :, None]
    angle = (y * freqs[0] + x * freqs[1]).permute(2, 0, 1)
    first, second = e.chunk(2, dim=1)
    return e * angle.cos() + torch.cat([-second, first], 1) * angle.sin()


def mean_attention(q, k, features, p, heads, mask=None):
    name, (n, d, height, width) = "cross_decode.cross_attn", q.shape

    def rms(x, which):
        x = x.flatten(2).transpose(1, 2)
        return (
            x / (x.square().mean(-1, keepdim=True) + 1.1920929e-7).sqrt() * p[f"{name}.norm_{which}.weight"]
        )

    weight = p.get(f"{name}.attention.in_proj_weight")
    wq = p[f"{name}.attention.q_proj_weight"] if weight is None else weight[:d]
    wk = p[f"{name}.attention.k_proj_weight"] if weight is None else weight[d : 2 * d]
    bias = p[f"{name}.attention.in_proj_bias"]
    q, k = rms(q, "q") @ wq.T + bias[:d], rms(k, "k") @ wk.T + bias[d : 2 * d]
    total = 0
    for part in range(heads):
        channels = slice(part * d // heads, (part + 1) * d // heads)
        scores = q[:, :, channels] @ k[:, :, channels].transpose(1, 2) / math.sqrt(d // heads)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        total = total + scores.softmax(-1) / heads
    return (total @ features.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(n, -1, height, width)


def jafar(p, image, features, size, num_heads=4, **_):
    names = ("norm1", "conv1", "norm2", "conv2")
    e = edge_rope(encoded(image, p, "image_encoder", names), p["rope.freqs"])
    q = F.group_norm(pooled(encoded(e, p, "query_encoder", names), size), 8)
    g = encoded(unit(features), p, "key_features_encoder", names)
    k = F.group_norm(pooled(encoded(e, p, "key_encoder", names), features.shape[2:]), 8)
    k = conv(g, p, "sft_key.gamma") * k + conv(g, p, "sft_key.beta")
    return mean_attention(conv(q, p, "cross_decode.conv2d"), k, features, p, num_heads)


def anyup(p, image, features, size, num_heads=4, window_ratio=0.1, **_):
    names = ("block.0", "block.2", "block.3", "block.5")
    n, channels, h, w = features.shape
    e = edge_rope(encoded(image, p, "image_encoder", names), p["rope.freqs"])
    q = pooled(encoded(e, p, "query_encoder", names), size)
    k = pooled(encoded(e, p, "key_encoder", names), (h, w))
    basis, u = p["key_features_encoder.0.basis"], unit(features)
    maps, reach = len(basis), basis.shape[2] // 2
    z = torch.zeros(n, channels, maps, h, w)
    for i in range(h):
        for j in range(w):
            pixels = 0
            for a in range(max(i - reach, 0), min(i + reach + 1, h)):
                for b in range(max(j - reach, 0), min(j + reach + 1, w)):
                    z[..., i, j] += u[:, :, a, b, None] * basis[:, 0, a - i + reach, b - j + reach]
                    pixels += 1
            z[..., i, j] /= pixels
    branch = z.flatten(1, 2).reshape(n, maps, channels, h, w).softmax(1).mean(2)
    for i in (1, 2):
        branch = residual(branch, p, f"key_features_encoder.{i}", names)
    k = encoded(torch.cat([k, branch], 1), p, "aggregation", names)
    if window_ratio <= 0:
        return mean_attention(conv(q, p, "cross_decode.conv2d"), k, features, p, num_heads)
    mask = torch.ones(*size, h, w, dtype=torch.bool)
    for axis, (pixels, tokens) in enumerate(zip(size, (h, w), strict=True)):
        for i in range(pixels):
            place = (torch.tensor(float(i)) + 0.5) / pixels
            low = int(((place - window_ratio).clamp(0, 1) * tokens).floor())
            high = int(((place + window_ratio).clamp(0, 1) * tokens).ceil())
            outside = [t for t in range(tokens) if not low <= t < high]
            mask.select(axis, i).index_fill_(axis + 1, torch.tensor(outside, dtype=torch.long), False)
    q = conv(q, p, "cross_decode.conv2d")
    return mean_attention(q, k, features, p, num_heads, mask.flatten(2).flatten(0, 1))


def naf(p, image, features, size, heads_attn=4, heads_rope=4, kernel_size=9, img_layers=2, **_):
    (height, width), (n, channels, h, w) = size, features.shape
    if image.shape[2] > 4 * height or image.shape[3] > 4 * width:
        most = 4 * min(size)
        image = F.interpolate(image, [min(s, most) for s in image.shape[2:]], mode="bilinear")
    branches = []
    for name in ("encoder", "sem_encoder"):
        x = conv(image, p, f"image_encoder.{name}.0", reflect=True)
        for i in range(1, img_layers + 1):
            for j in (1, 2):
                block = f"image_encoder.{name}.{i}"
                x = conv(F.silu(norm(x, p, f"{block}.norm{j}")), p, f"{block}.conv{j}", reflect=True)
        branches.append(pooled(x, size))
    x = torch.cat(branches, 1)
    q = torch.empty_like(x)
    part = x.shape[1] // heads_rope
    for i in range(height):
        for j in range(width):
            places = torch.tensor([2 * (i + 0.5) / height - 1, 2 * (j + 0.5) / width - 1])
            angle = (2 * math.pi * places[:, None] / p["image_encoder.rope.periods"]).flatten().repeat(2)
            v = x[:, :, i, j].reshape(n, heads_rope, part)
            turned = torch.cat([-v[..., part // 2 :], v[..., : part // 2]], -1)
            q[:, :, i, j] = (v * angle.cos() + turned * angle.sin()).flatten(1)
    k = F.interpolate(pooled(q, (h, w)), size, mode="nearest-exact")
    v = F.interpolate(features, size, mode="nearest-exact")

    def window(i, length, step):
        count = math.ceil((length - i % step) / step)
        start = min(max(i // step - kernel_size // 2, 0), count - kernel_size)
        return torch.tensor([i % step + step * (start + a) for a in range(kernel_size)])

    out = torch.empty(n, channels, height, width)
    for i in range(height):
        for j in range(width):
            rows, columns = window(i, height, height // h), window(j, width, width // w)
            keys, values = (
                x[:, :, rows][..., columns].reshape(n, heads_attn, -1, kernel_size**2) for x in (k, v)
            )
            query = q[:, :, i, j].reshape(n, heads_attn, 1, -1)
            weights = (query @ keys / math.sqrt(query.shape[3])).softmax(-1)
            out[:, :, i, j] = (weights * values).sum(-1).flatten(1)
    return out


def waves(z, biases):
    n = biases.shape[2]
    angles = torch.linspace(-2, 10, n).exp().reshape(n, 1, 1, 1) * z[:, None]
    sine, cosine = (biases[i].flatten().reshape(n, -1, 1, 1) for i in (0, 1))
    return torch.cat([(angles + sine).sin().flatten(1, 2), (angles + cosine).cos().flatten(1, 2)], 1)


def coordinates(n, height, width):
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([y, x]).expand(n, 2, height, width)


def loftup(p, image, features, size, num_heads=4, num_layers=2, lr_size=16, **_):
    (n, dim, h, w), (height, width) = features.shape, image.shape[2:]
    low, high = image.amin((0, 2, 3), keepdim=True), image.amax((0, 2, 3), keepdim=True)
    colours = (image - low) / (high - low).clamp(min=1e-4) - 0.5
    z = torch.cat([coordinates(n, height, width), colours], 1)
    x = torch.cat([waves(z, p["upsampler.fourier_feat.1.biases"]), colours], 1)
    x = layer_norm(x, p, "upsampler.first_conv.0.norm")
    for i in (1, 4):
        x = batch_norm(conv(x, p, f"upsampler.first_conv.{i}"), p, f"upsampler.first_conv.{i + 1}")
    kv = layer_norm(features, p, "channelnorm.norm")
    if "upsampler.lr_pe" in p:
        learned = p["upsampler.lr_pe"].transpose(1, 2).reshape(1, dim, lr_size, lr_size)
        kv = kv + F.interpolate(learned, (h, w), mode="bicubic")
    else:
        kv = torch.cat([kv, waves(coordinates(n, h, w), p["upsampler.lr_pe.biases"])], 1)
    x, kv = x.flatten(2), kv.flatten(2)
    for i in range(num_layers):
        block, mlp = (f"upsampler.ca_transformer.layers.{i}.{j}" for j in (0, 1))
        q, keys = (layer_norm(a, p, f"{block}.norm_{b}").permute(2, 0, 1) for a, b in ((x, "q"), (kv, "kv")))
        a = {key: p[f"{block}.attention.{key}"] for key in ("in_proj_weight", "in_proj_bias")}
        out = [p[f"{block}.attention.out_proj.{key}"] for key in ("weight", "bias")]
        attended, _ = F.multi_head_attention_forward(
            q, keys, keys, q.shape[2], num_heads, *a.values(), None, None, False, 0.0, *out, training=False
        )
        x = x + attended.permute(1, 2, 0)
        y = layer_norm(x, p, f"{mlp}.net.0").transpose(1, 2)
        for j in (1, 4):
            y = y @ p[f"{mlp}.net.{j}.weight"].T + p[f"{mlp}.net.{j}.bias"]
            y = F.gelu(y) if j == 1 else y
        x = x + y.transpose(1, 2)
    x = layer_norm(x, p, "upsampler.ca_transformer.norm").reshape(n, -1, height, width)
    last = "upsampler.final_conv"
    if f"{last}.0.weight" in p:
        x, last = conv(x, p, f"{last}.0"), f"{last}.1"
    return layer_norm(x, p, last, eps=1e-6)


def lift(p, image, features, size, patch_size=8, **_):
    def strided(x, name):
        return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], stride=2, padding=1)

    while features.shape[2] < size[0]:
        fine = image
        for i in (0, 3):
            fine = batch_norm(strided(fine, f"image_convs_1.{i}"), p, f"image_convs_1.{i + 1}")
        fine = F.max_pool2d(fine, 2) if patch_size == 16 else fine
        coarse = batch_norm(strided(fine, "image_convs_2.0"), p, "image_convs_2.1")
        x = torch.cat([features, coarse], 1)
        x = F.conv_transpose2d(x, p["up1.up.weight"], p["up1.up.bias"], stride=2)
        x = torch.cat([x, fine], 1)
        for i in (0, 3):
            x = batch_norm(conv(x, p, f"up1.conv_1.double_conv.{i}"), p, f"up1.conv_1.double_conv.{i + 1}")
        features = conv(x, p, "outc")
        image = F.interpolate(image, scale_factor=2, mode="bilinear")
    return features


def featup(p, image, features, size, **_):
    x = layer_norm(features, p, "model.1.norm") if "model.1.norm.weight" in p else features
    for step in range(1, 5):
        height, width, up = 2 * x.shape[2], 2 * x.shape[3], f"upsampler.up{step}"
        g = pooled(image, (height, width))

        def windows(a):
            return F.unfold(F.pad(a, (3,) * 4, mode="reflect"), 7).reshape(a.shape[0], -1, 49, *a.shape[2:])

        def projected(a, name):
            return conv(F.gelu(conv(a, p, f"{name}.0")), p, f"{name}.3")

        r = projected(g, f"{up}.range_proj")
        alike = (windows(r) * r[:, :, None]).sum(1)
        kernel = (p[f"{up}.range_temp"].exp().clamp(1e-4, 1e4) * alike).softmax(1)
        d = torch.linspace(-1, 1, 7).square()
        spatial = (-(d[:, None] + d) / (2 * p[f"{up}.sigma_spatial"] ** 2)).exp()
        kernel = kernel * spatial.reshape(49, 1, 1)
        kernel = kernel / kernel.sum(1, keepdim=True).clamp(min=1e-7)
        kernel = kernel + 0.1 * projected(torch.cat([kernel, g], 1), f"{up}.fixup_proj")
        x = F.interpolate(x, (height, width), mode="bicubic")
        x = (windows(x) * kernel[:, None]).sum(2)
    return x + 0.1 * conv(x, p, "upsampler.fixup_proj.1")


PLAIN = {f.__name__: f for f in (jafar, anyup, naf, loftup, lift, featup)}
