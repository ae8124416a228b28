"""Small random checkpoints in the layout of BigGAN-PyTorch, without any network code, and their images, restated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

# Multiples of the channel multiplier into every block, then out of the last, by resolution (BigGAN.py, G_arch).
WIDTHS = {
    32: (4, 4, 4, 4),
    64: (16, 16, 8, 4, 2),
    128: (16, 16, 8, 4, 2, 1),
    256: (16, 16, 8, 8, 4, 2, 1),
    512: (16, 16, 8, 8, 4, 2, 1, 1),
}

TINY: dict[str, Any] = {
    "G_ch": 4,
    "resolution": 32,
    "G_attn": "16",
    "dim_z": 16,
    "hier": True,
    "G_shared": True,
    "shared_dim": 6,
    "n_classes": 5,
    "BN_eps": 1e-5,
    "SN_eps": 1e-6,
    "G_param": "SN",
}
"""Settings under their original names."""


def save_tiny_brock(folder: str | Path, seed: int = 0, **settings: Any) -> Path:
    """Save a random G_ema.pth (32 px, z in 4 chunks of 4, five classes unless `settings` say otherwise)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tiny_state(seed, **settings), folder / "G_ema.pth")
    settings = {**TINY, **settings}
    if (settings["BN_eps"], settings["SN_eps"]) != (TINY["BN_eps"], TINY["SN_eps"]):
        (folder / "config.json").write_text(json.dumps(settings))
    return folder


def tiny_state(seed: int = 0, **settings: Any) -> dict[str, Tensor]:
    """The state dict of a random generator, well-scaled activations in every layer."""
    maker = _Maker(seed, {**TINY, **settings})
    return maker.state()


class _Maker:
    def __init__(self, seed: int, settings: dict[str, Any]):
        self.random = torch.Generator().manual_seed(seed)
        self.settings = settings
        self.tensors: dict[str, Tensor] = {}

    def state(self) -> dict[str, Tensor]:
        settings = self.settings
        widths = [settings["G_ch"] * item for item in WIDTHS[settings["resolution"]]]
        slots = len(widths) if settings["hier"] else 1
        chunk = settings["dim_z"] // slots
        self.condition = settings["shared_dim"] + (chunk if settings["hier"] else 0)
        if settings["G_shared"]:
            self.tensors["shared.weight"] = self._normal(settings["n_classes"], settings["shared_dim"])
        self._layer("linear", widths[0] * 16, chunk)
        attention = [int(size) for size in settings["G_attn"].split("_")]
        for block in range(len(widths) - 1):
            inputs, outputs = widths[block], widths[block + 1]
            self._layer(f"blocks.{block}.0.conv1", outputs, inputs, 3, 3)
            self._layer(f"blocks.{block}.0.conv2", outputs, outputs, 3, 3)
            self._layer(f"blocks.{block}.0.conv_sc", outputs, inputs, 1, 1)
            self._conditional_norm(f"blocks.{block}.0.bn1", inputs)
            self._conditional_norm(f"blocks.{block}.0.bn2", outputs)
            if 8 * 2**block in attention:
                self.tensors[f"blocks.{block}.1.gamma"] = torch.tensor(0.7)
                for name, outs, ins in (
                    ("theta", outputs // 8, outputs),
                    ("phi", outputs // 8, outputs),
                    ("g", outputs // 2, outputs),
                    ("o", outputs, outputs // 2),
                ):
                    self._layer(f"blocks.{block}.1.{name}", outs, ins, 1, 1, bias=False)
        self.tensors["output_layer.0.gain"] = 1 + 0.2 * self._normal(widths[-1])
        self.tensors["output_layer.0.bias"] = 0.1 * self._normal(widths[-1])
        self._statistics("output_layer.0", widths[-1])
        self._layer("output_layer.2", 3, widths[-1], 3, 3)
        return self.tensors

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.random)

    def _layer(self, key: str, *shape: int, bias: bool = True) -> None:
        fan_in = torch.Size(shape[1:]).numel()
        # Without a norm to divide by, smaller weights keep rounding from growing through the attention.
        scale = 1.7 if self.settings["G_param"] == "SN" else 0.8
        self.tensors[f"{key}.weight"] = scale * self._normal(*shape) / fan_in**0.5
        if bias:
            self.tensors[f"{key}.bias"] = 0.1 * self._normal(shape[0])
        if self.settings["G_param"] == "SN":
            # Far from a singular vector, so that one step of the power iteration is told from many.
            self.tensors[f"{key}.u0"] = self._normal(1, shape[0])
            self.tensors[f"{key}.sv0"] = torch.ones(1)

    def _conditional_norm(self, key: str, width: int) -> None:
        for part in ("gain", "bias"):
            if self.settings["G_shared"]:
                self._layer(f"{key}.{part}", width, self.condition, bias=False)
            else:
                self.tensors[f"{key}.{part}.weight"] = 0.3 * self._normal(self.settings["n_classes"], width)
        self._statistics(key, width)

    def _statistics(self, key: str, width: int) -> None:
        self.tensors[f"{key}.stored_mean"] = 0.1 * self._normal(width)
        self.tensors[f"{key}.stored_var"] = 0.3 + torch.rand(width, generator=self.random)


def inputs(count: int, seed: int = 1, z_dim: int = 16) -> tuple[Tensor, Tensor]:
    z = torch.randn(count, z_dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return z, torch.arange(count) % 5


def restated(state: dict[str, Tensor], z: Tensor, y: Tensor, settings: dict[str, Any]) -> Tensor:
    """The original forward pass in eval mode, line by line on the state dict, without folding or reordering."""
    state = {key: value.to(z.dtype) for key, value in state.items()}
    blocks = {32: 3, 64: 4, 128: 5, 256: 6, 512: 7}[settings["resolution"]]

    def weight(key: str) -> Tensor:
        W = state[f"{key}.weight"]
        if settings["G_param"] != "SN":
            return W
        W_mat, u = W.view(W.size(0), -1), state[f"{key}.u0"]
        v = F.normalize(torch.matmul(u, W_mat), eps=settings["SN_eps"])
        u = F.normalize(torch.matmul(v, W_mat.t()), eps=settings["SN_eps"])
        return W / torch.squeeze(torch.matmul(torch.matmul(v, W_mat.t()), u.t()))

    def conv(h: Tensor, key: str, padding: int) -> Tensor:
        return F.conv2d(h, weight(key), state.get(f"{key}.bias"), padding=padding)

    def ccbn(h: Tensor, key: str, condition: Tensor) -> Tensor:
        h = F.batch_norm(
            h, state[f"{key}.stored_mean"], state[f"{key}.stored_var"], None, None, False, 0.1, settings["BN_eps"]
        )
        if settings["G_shared"]:
            gain, bias = (F.linear(condition, weight(f"{key}.{part}")) for part in ("gain", "bias"))
        else:
            gain, bias = (F.embedding(condition, state[f"{key}.{part}.weight"]) for part in ("gain", "bias"))
        return h * (1 + gain)[:, :, None, None] + bias[:, :, None, None]

    def attention(h: Tensor, key: str) -> Tensor:
        N, C, H, W = h.shape
        theta = conv(h, f"{key}.theta", 0).view(N, C // 8, H * W)
        phi = F.max_pool2d(conv(h, f"{key}.phi", 0), [2, 2]).view(N, C // 8, H * W // 4)
        g = F.max_pool2d(conv(h, f"{key}.g", 0), [2, 2]).view(N, C // 2, H * W // 4)
        beta = F.softmax(torch.einsum("ncq,nck->nqk", theta, phi), -1)
        return state[f"{key}.gamma"] * conv(torch.einsum("nck,nqk->ncq", g, beta).view(N, -1, H, W), f"{key}.o", 0) + h

    embedded = F.embedding(y, state["shared.weight"]) if settings["G_shared"] else y
    if settings["hier"]:
        zs = torch.split(z, settings["dim_z"] // (blocks + 1), 1)
        z, conditions = zs[0], [torch.cat([embedded, item], 1) for item in zs[1:]]
    else:
        conditions = [embedded] * blocks
    h = F.linear(z, weight("linear"), state["linear.bias"])
    h = h.view(len(h), -1, 4, 4)
    for block in range(blocks):
        key = f"blocks.{block}.0"
        x = F.relu(ccbn(h, f"{key}.bn1", conditions[block]))
        x, h = F.interpolate(x, scale_factor=2), F.interpolate(h, scale_factor=2)
        x = conv(x, f"{key}.conv1", 1)
        x = conv(F.relu(ccbn(x, f"{key}.bn2", conditions[block])), f"{key}.conv2", 1)
        h = x + conv(h, f"{key}.conv_sc", 0)
        if str(h.shape[2]) in settings["G_attn"].split("_"):
            h = attention(h, f"blocks.{block}.1")
    last = "output_layer.0"
    # The original does not hand BN_eps to this one.
    h = F.batch_norm(
        h,
        state[f"{last}.stored_mean"],
        state[f"{last}.stored_var"],
        state[f"{last}.gain"],
        state[f"{last}.bias"],
        False,
        0.1,
        1e-5,
    )
    return torch.tanh(conv(F.relu(h), "output_layer.2", 1))
