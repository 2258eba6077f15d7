"""What the workloads are made of, in jax and jax.lax alone. Images are N×H×W×C, weights of convolutions H×W×in×out."""

import jax
import jax.numpy as jnp
from jax import lax

IMAGES = ("NHWC", "HWIO", "NHWC")


class Weights:
    """Draws first weights one after another, as PyTorch's layers start theirs: uniform within 1/√(inputs)."""

    def __init__(self, seed: int):
        self.key = jax.random.key(seed)

    def _next(self):
        self.key, key = jax.random.split(self.key)
        return key

    def uniform(self, shape: tuple, fan_in: int):
        return jax.random.uniform(self._next(), shape, jnp.float32, -(fan_in**-0.5), fan_in**-0.5)

    def normal(self, shape: tuple, mean: float = 0.0, deviation: float = 0.02):
        return mean + deviation * jax.random.normal(self._next(), shape)

    def linear(self, cin: int, cout: int) -> dict:
        return {"w": self.uniform((cin, cout), cin), "b": self.uniform((cout,), cin)}

    def conv(self, kernel: int, cin: int, cout: int) -> dict:
        fan_in = kernel * kernel * cin
        return {"w": self.uniform((kernel, kernel, cin, cout), fan_in), "b": self.uniform((cout,), fan_in)}


def linear(p: dict, x):
    return x @ p["w"] + p["b"]


def conv(w, x, stride: int = 1, padding: int = 0):
    return lax.conv_general_dilated(x, w, (stride, stride), [(padding, padding)] * 2, dimension_numbers=IMAGES)


def conv_up(w, x, stride: int, padding: str):
    return lax.conv_transpose(x, w, (stride, stride), padding, dimension_numbers=IMAGES)


def softplus_loss(logits, x):
    """-ln p of bits by their logits, element by element."""
    return jax.nn.softplus(logits) - x * logits


def parameter_count(params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


class Adam:
    """Kingma and Ba, 2015, with the defaults of PyTorch."""

    def __init__(self, rate: float = 1e-3, betas: tuple = (0.9, 0.999), epsilon: float = 1e-8):
        self.rate, self.betas, self.epsilon = rate, betas, epsilon

    def start(self, params):
        zeros = lambda: jax.tree.map(jnp.zeros_like, params)
        return {"m": zeros(), "v": zeros(), "t": jnp.zeros((), jnp.float32)}

    def step(self, params, moments, gradients):
        one, two = self.betas
        t = moments["t"] + 1
        m = jax.tree.map(lambda m, g: one * m + (1 - one) * g, moments["m"], gradients)
        v = jax.tree.map(lambda v, g: two * v + (1 - two) * g * g, moments["v"], gradients)
        change = lambda p, m, v: p - self.rate * (m / (1 - one**t)) / (jnp.sqrt(v / (1 - two**t)) + self.epsilon)
        return jax.tree.map(change, params, m, v), {"m": m, "v": v, "t": t}
