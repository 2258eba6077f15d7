"""Workloads of `kiln bench train` as a user of JAX would write them: pure functions of weights, compiled whole by `jax.jit`.

Each entry of `WORKLOADS` is a function that hands back a [`Training`] and the parameters it must have.
"""

from dataclasses import dataclass
from functools import partial
from typing import Callable

import jax
import jax.numpy as jnp

from layers import Adam, Weights, conv, conv_up, linear, parameter_count, softplus_loss
from unet import UNet


@dataclass
class Training:
    batch: int
    parameters: int
    state: object
    step: Callable
    """A state to the next one and the loss, compiled; the state that is given is used up."""


def binary_images(batch: int, size: int, channels: int):
    """A fixed random batch. Its values change no dense kernel's time."""
    return (jax.random.uniform(jax.random.key(1), (batch, size, size, channels)) < 0.2).astype(jnp.float32)


def likelihood_training(params, batch: int, loss_of: Callable, x, adam: Adam = Adam()) -> Training:
    """`loss_of(params, x, key)` is what a step makes less."""

    @partial(jax.jit, donate_argnums=0)
    def step(state):
        params, moments, key = state
        key, own = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_of)(params, x, own)
        return (*adam.step(params, moments, gradients), key), loss

    return Training(batch, parameter_count(params), (params, adam.start(params), jax.random.key(2)), step)


# --- PixelCNN -----------------------------------------------------------------------------------------------------------------


def mask(kind: str, kernel: int):
    taps = (jnp.arange(kernel * kernel) < kernel * kernel // 2 + (kind == "B")).astype(jnp.float32)
    return taps.reshape(kernel, kernel, 1, 1)


def pixelcnn(batch: int, channels: int = 32, blocks: int = 15, head: int = 32) -> Training:
    weights, half = Weights(1), channels // 2
    block = lambda: {"reduce": weights.conv(1, channels, half), "masked": weights.conv(3, half, half), "expand": weights.conv(1, half, channels)}
    params = {
        "input": weights.conv(7, 1, channels),
        "blocks": [block() for _ in range(blocks)],
        "head": [weights.conv(1, channels, head), weights.conv(1, head, 1)],
    }
    first, later = mask("A", 7), mask("B", 3)
    apply = lambda p, h: conv(p["w"], h) + p["b"]

    def loss(params, x, _):
        h = conv(params["input"]["w"] * first, x, padding=3) + params["input"]["b"]
        for block in params["blocks"]:
            r = apply(block["reduce"], jax.nn.relu(h))
            r = conv(block["masked"]["w"] * later, jax.nn.relu(r), padding=1) + block["masked"]["b"]
            h = h + apply(block["expand"], jax.nn.relu(r))
        for layer in params["head"]:
            h = apply(layer, jax.nn.relu(h))
        return softplus_loss(h, x).sum((1, 2, 3)).mean()

    return likelihood_training(params, batch, loss, binary_images(batch, 28, 1))


# --- Variational autoencoders ---------------------------------------------------------------------------------------------------


def variational(params, batch: int, encode: Callable, decode: Callable) -> Training:
    """Bernoulli reconstruction plus the KL to N(0, I)."""

    def loss(params, x, key):
        mean, log_var = encode(params, x)
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape)
        kl = 0.5 * (mean**2 + jnp.exp(log_var) - 1.0 - log_var).sum(1)
        return (softplus_loss(decode(params, z), x).sum((1, 2, 3)) + kl).mean()

    return likelihood_training(params, batch, loss, binary_images(batch, 28, 1))


def vae_mlp(batch: int, hidden: int = 400, latent: int = 20) -> Training:
    w = Weights(1)
    params = {"down": w.linear(784, hidden), "mean": w.linear(hidden, latent), "log_var": w.linear(hidden, latent)}
    params |= {"up": w.linear(latent, hidden), "logits": w.linear(hidden, 784)}

    def encode(p, x):
        h = jax.nn.relu(linear(p["down"], x.reshape(len(x), -1)))
        return linear(p["mean"], h), linear(p["log_var"], h)

    decode = lambda p, z: linear(p["logits"], jax.nn.relu(linear(p["up"], z))).reshape(-1, 28, 28, 1)
    return variational(params, batch, encode, decode)


def vae_conv(batch: int, latent: int = 20) -> Training:
    w, flat = Weights(1), 64 * 7 * 7
    params = {"conv1": w.conv(4, 1, 32), "conv2": w.conv(4, 32, 64), "mean": w.linear(flat, latent), "log_var": w.linear(flat, latent)}
    params |= {"project": w.linear(latent, flat), "deconv1": w.conv(4, 64, 32), "deconv2": w.conv(4, 32, 1)}

    def encode(p, x):
        h = jax.nn.relu(conv(p["conv1"]["w"], x, 2, 1) + p["conv1"]["b"])
        h = jax.nn.relu(conv(p["conv2"]["w"], h, 2, 1) + p["conv2"]["b"]).reshape(len(x), -1)
        return linear(p["mean"], h), linear(p["log_var"], h)

    def decode(p, z):
        h = jax.nn.relu(linear(p["project"], z)).reshape(-1, 7, 7, 64)
        h = jax.nn.relu(conv_up(p["deconv1"]["w"], h, 2, "SAME") + p["deconv1"]["b"])
        return conv_up(p["deconv2"]["w"], h, 2, "SAME") + p["deconv2"]["b"]

    return variational(params, batch, encode, decode)


# --- DCGAN ----------------------------------------------------------------------------------------------------------------------


def batch_norm(p: dict, x, epsilon: float = 1e-5):
    """By the batch's own statistics; running ones, which training does not read, are left out."""
    mean, square = x.mean((0, 1, 2)), (x * x).mean((0, 1, 2))
    return (x - mean) * jax.lax.rsqrt(square - mean**2 + epsilon) * p["scale"] + p["shift"]


def norm(w: Weights, width: int) -> dict:
    return {"scale": w.normal((width,), 1.0), "shift": jnp.zeros(width)}


def dcgan(batch: int, size: int, channels: int, filters: int = 64, latent: int = 100) -> Training:
    w, widest = Weights(1), filters * size // 8
    up, cin, width = [], latent, widest
    while width >= filters:
        up.append({"w": w.normal((4, 4, cin, width)), "norm": norm(w, width)})
        cin, width = width, width // 2
    generator = {"layers": up, "last": w.normal((4, 4, cin, channels))}
    down, width = [], filters
    while width < widest:
        down.append({"w": w.normal((4, 4, width, 2 * width)), "norm": norm(w, 2 * width)})
        width *= 2
    discriminator = {"first": w.normal((4, 4, channels, filters)), "layers": down, "last": w.normal((4, 4, width, 1))}

    def generate(p, z):
        h = z[:, None, None]
        for at, layer in enumerate(p["layers"]):
            h = conv_up(layer["w"], h, 1, "VALID") if at == 0 else conv_up(layer["w"], h, 2, "SAME")
            h = jax.nn.relu(batch_norm(layer["norm"], h))
        return jnp.tanh(conv_up(p["last"], h, 2, "SAME"))

    def judge(p, x):
        h = jax.nn.leaky_relu(conv(p["first"], x, 2, 1), 0.2)
        for layer in p["layers"]:
            h = jax.nn.leaky_relu(batch_norm(layer["norm"], conv(layer["w"], h, 2, 1)), 0.2)
        return conv(p["last"], h).ravel()

    adam, real = Adam(2e-4, (0.5, 0.999)), binary_images(batch, size, channels) * 2 - 1

    @partial(jax.jit, donate_argnums=0)
    def step(state):
        g, d, g_moments, d_moments, key = state
        key, own = jax.random.split(key)
        # One batch of fakes for both updates.
        fake, pull = jax.vjp(lambda g: generate(g, jax.random.normal(own, (batch, latent))), g)
        of_d = lambda d: softplus_loss(judge(d, real), 1.0).mean() + softplus_loss(judge(d, fake), 0.0).mean()
        d_loss, gradients = jax.value_and_grad(of_d)(d)
        d, d_moments = adam.step(d, d_moments, gradients)
        (gradients,) = pull(jax.grad(lambda fake: softplus_loss(judge(d, fake), 1.0).mean())(fake))
        g, g_moments = adam.step(g, g_moments, gradients)
        return (g, d, g_moments, d_moments, key), d_loss

    state = (generator, discriminator, adam.start(generator), adam.start(discriminator), jax.random.key(2))
    return Training(batch, parameter_count([generator, discriminator]), state, step)


# --- Diffusion ------------------------------------------------------------------------------------------------------------------


def diffusion(batch: int, pixels: int, channels: int = 1) -> Training:
    """v of a cosine schedule of a thousand steps; times spread evenly over the batch from one draw."""
    net = UNet(cin=channels)
    params = net.start(Weights(1))
    mean = jnp.cos((jnp.arange(1001) / 1000 + 0.008) / 1.008 * jnp.pi / 2) ** 2
    kept = jnp.cumprod(1 - jnp.minimum(1 - mean[1:] / mean[:-1], 0.999))
    x = 2 * jax.random.uniform(jax.random.key(1), (batch, pixels, pixels, channels)) - 1
    adam = Adam(1e-3, (0.9, 0.99))

    def loss_of(params, x, key):
        of_time, of_noise = jax.random.split(key)
        t = ((jax.random.uniform(of_time) + jnp.arange(batch) / batch) % 1 * 1000).astype(jnp.int32).clip(0, 999)
        alpha, sigma = jnp.sqrt(kept[t])[:, None, None, None], jnp.sqrt(1 - kept[t])[:, None, None, None]
        noise = jax.random.normal(of_noise, x.shape)
        return ((net.apply(params, alpha * x + sigma * noise, t.astype(jnp.float32)) - (alpha * noise - sigma * x)) ** 2).mean()

    @partial(jax.jit, donate_argnums=0)
    def step(state):
        params, moments, key = state
        key, own = jax.random.split(key)
        loss, gradients = jax.value_and_grad(loss_of)(params, x, own)
        length = jnp.sqrt(sum((g * g).sum() for g in jax.tree.leaves(gradients)))
        gradients = jax.tree.map(lambda g: g * jnp.minimum(1.0, 1.0 / (length + 1e-6)), gradients)
        return (*adam.step(params, moments, gradients), key), loss

    return Training(batch, parameter_count(params), (params, adam.start(params), jax.random.key(2)), step)


# Name: (builder of the training, parameters it must have).
WORKLOADS: dict[str, tuple[Callable[[], Training], int]] = {
    "pixelcnn-28-b64": (lambda: pixelcnn(64), 53_569),
    "vae-mlp-28-b128": (lambda: vae_mlp(128), 652_824),
    "vae-conv-28-b128": (lambda: vae_conv(128), 258_025),
    "dcgan-32-b64": (lambda: dcgan(64, 32, 1), 1_728_128),
    "dcgan-64-b32": (lambda: dcgan(32, 64, 3), 6_342_272),
    "diffusion-28-b32": (lambda: diffusion(32, 28), 1_742_881),
}


def build(name: str) -> Training:
    make, parameters = WORKLOADS[name]
    training = make()
    assert training.parameters == parameters, f"{name}: {training.parameters} parameters, not {parameters}"
    return training
