"""The U-Net of `pytorch/unet.py` in jax and jax.lax alone: weights in nested lists and dictionaries, and pure functions of them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from layers import Weights, conv, linear


def start_norm(channels: int) -> dict:
    return {"scale": jnp.ones(channels), "shift": jnp.zeros(channels)}


def norm(p: dict, x, epsilon: float = 1e-5):
    """Group normalisation, in groups of four channels, 32 of them at most."""
    n, h, w, c = x.shape
    grouped = x.reshape(n, h, w, max(1, min(32, c // 4)), -1)
    mean, square = (v.mean((1, 2, 4), keepdims=True) for v in (grouped, grouped * grouped))
    return ((grouped - mean) * jax.lax.rsqrt(square - mean**2 + epsilon)).reshape(x.shape) * p["scale"] + p["shift"]


def apply(p: dict, x, stride: int = 1, padding: int = 0):
    return conv(p["w"], x, stride, padding) + p["b"]


def start_block(w: Weights, cin: int, cout: int, embedding: int) -> dict:
    p = {"norm1": start_norm(cin), "conv1": w.conv(3, cin, cout), "embed": w.linear(embedding, 2 * cout)}
    p |= {"norm2": start_norm(cout), "conv2": jax.tree.map(jnp.zeros_like, w.conv(3, cout, cout))}
    return p | ({"skip": w.conv(1, cin, cout)} if cin != cout else {})


def block(p: dict, x, embedding):
    h = apply(p["conv1"], jax.nn.silu(norm(p["norm1"], x)), padding=1)
    scale, shift = jnp.split(linear(p["embed"], jax.nn.silu(embedding))[:, None, None], 2, -1)
    h = norm(p["norm2"], h) * (1 + scale) + shift
    return (apply(p["skip"], x) if "skip" in p else x) + apply(p["conv2"], jax.nn.silu(h), padding=1)


def start_attention(w: Weights, channels: int) -> dict:
    return {"norm": start_norm(channels), "qkv": w.conv(1, channels, 3 * channels), "out": jax.tree.map(jnp.zeros_like, w.conv(1, channels, channels))}


def attention(p: dict, x, heads: int):
    n, h, w, c = x.shape
    q, k, v = jnp.split(apply(p["qkv"], norm(p["norm"], x)).reshape(n, h * w, 3 * heads, c // heads), 3, 2)
    return x + apply(p["out"], jax.nn.dot_product_attention(q, k, v).reshape(x.shape))


@dataclass(frozen=True)
class UNet:
    """`attends` lists the sizes of maps, from 0 for the whole image, at which attention follows each block; time lies in 0..1000."""

    cin: int = 1
    channels: int = 32
    multipliers: tuple = (1, 2, 2)
    blocks: int = 2
    attends: tuple = (2,)
    heads: int = 4

    def start(self, w: Weights) -> dict:
        wide = 4 * self.channels
        params = {"time": [w.linear(self.channels, wide), w.linear(wide, wide)], "input": w.conv(3, self.cin, self.channels)}
        place = lambda cin, cout, attends: {"block": start_block(w, cin, cout, wide)} | ({"attention": start_attention(w, cout)} if attends else {})
        down, up, kept, c, last = [], [], [self.channels], self.channels, len(self.multipliers) - 1
        for level, multiplier in enumerate(self.multipliers):
            for _ in range(self.blocks):
                down.append(place(c, multiplier * self.channels, level in self.attends))
                c = multiplier * self.channels
                kept.append(c)
            if level < last:
                down.append({"downsample": w.conv(3, c, c)})
                kept.append(c)
        middle = [place(c, c, True), place(c, c, False)]
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for i in range(self.blocks + 1):
                cout = multiplier * self.channels
                up.append(place(c + kept.pop(), cout, level in self.attends) | ({"upsample": w.conv(3, cout, cout)} if level > 0 and i == self.blocks else {}))
                c = cout
        output = jax.tree.map(jnp.zeros_like, w.conv(3, c, self.cin))
        return params | {"down": down, "middle": middle, "up": up, "norm": start_norm(c), "output": output}

    def place(self, p: dict, x, embedding):
        if "block" in p:
            x = block(p["block"], x, embedding)
        if "attention" in p:
            x = attention(p["attention"], x, self.heads)
        if "upsample" in p:
            x = apply(p["upsample"], x.repeat(2, 1).repeat(2, 2), padding=1)
        return apply(p["downsample"], x, 2, 1) if "downsample" in p else x

    def apply(self, params: dict, x, time):
        half = self.channels // 2
        angles = time[:, None] * jnp.exp(-jnp.log(10000.0) / half * jnp.arange(half))
        embedding = linear(params["time"][0], jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], 1))
        embedding = linear(params["time"][1], jax.nn.silu(embedding))
        h = apply(params["input"], x, padding=1)
        kept = [h]
        for step in params["down"]:
            h = self.place(step, h, embedding)
            kept.append(h)
        for step in params["middle"]:
            h = self.place(step, h, embedding)
        for step in params["up"]:
            h = self.place(step, jnp.concatenate([h, kept.pop()], -1), embedding)
        return apply(params["output"], jax.nn.silu(norm(params["norm"], h)), padding=1)
