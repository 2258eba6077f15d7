//! The models as a Burn user would write them; definitions as in `../pytorch/workloads.py`.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig, ConvTranspose2d, ConvTranspose2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::{leaky_relu, relu, softplus};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor, TensorData};

/// A model, its optimiser and its batch.
pub trait Training {
    fn step(&mut self);
    fn params(&self) -> usize;
}

/// A model with a likelihood or a bound on it.
pub trait Likelihood: Module {
    /// Nats an image, averaged over the batch [N,1,28,28].
    fn loss(&self, x: Tensor<4>) -> Tensor<1>;
}

pub struct LikelihoodTraining<M> {
    model: Option<M>,
    optimiser: ModuleOptimizer,
    x: Tensor<4>,
}

pub fn likelihood_training<M: Likelihood>(model: M, batch: usize, device: &Device) -> LikelihoodTraining<M> {
    let x = binary_images(batch, 28, device);
    LikelihoodTraining { model: Some(model), optimiser: AdamConfig::new().init(), x }
}

impl<M: Likelihood> Training for LikelihoodTraining<M> {
    fn step(&mut self) {
        let model = self.model.take().expect("put back after each step");
        let gradients = GradientsParams::from_grads(model.loss(self.x.clone()).backward(), &model);
        self.model = Some(self.optimiser.step(1e-3, model, gradients));
    }

    fn params(&self) -> usize {
        self.model.as_ref().map_or(0, Module::num_params)
    }
}

fn binary_images(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    Tensor::random([batch, 1, size, size], Distribution::Bernoulli(0.2), device)
}

/// Binary cross entropy of logits, element by element: log(1 + e^l) - x l.
fn bce<const D: usize>(logits: Tensor<D>, x: Tensor<D>) -> Tensor<D> {
    softplus(logits.clone(), 1.0) - x * logits
}

fn conv(from: usize, to: usize, kernel: usize, stride: usize, pad: usize, bias: bool) -> Conv2dConfig {
    Conv2dConfig::new([from, to], [kernel, kernel])
        .with_stride([stride, stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_bias(bias)
}

fn deconv(from: usize, to: usize, stride: usize, pad: usize, bias: bool) -> ConvTranspose2dConfig {
    ConvTranspose2dConfig::new([from, to], [4, 4]).with_stride([stride, stride]).with_padding([pad, pad]).with_bias(bias)
}

// --- PixelCNN -------------------------------------------------------------------------------------------------------

/// A convolution whose weight is multiplied by its mask at each use.
#[derive(Module, Debug)]
struct Masked {
    conv: Conv2d,
    mask: Tensor<4>,
}

impl Masked {
    fn new(from: usize, to: usize, kernel: usize, own_pixel: bool, device: &Device) -> Self {
        let seen = kernel * kernel / 2 + usize::from(own_pixel);
        let taps: Vec<f32> = (0..kernel * kernel).map(|tap| if tap < seen { 1.0 } else { 0.0 }).collect();
        let mask = Tensor::from_data(TensorData::new(taps, [1, 1, kernel, kernel]), device);
        Self { conv: conv(from, to, kernel, 1, kernel / 2, true).init(device), mask }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let pad = self.conv.kernel_size[0] / 2;
        let weight = self.conv.weight.val() * self.mask.clone();
        let bias = self.conv.bias.as_ref().map(|bias| bias.val());
        conv2d(x, weight, bias, ConvOptions::new([1, 1], [pad, pad], [1, 1], 1))
    }
}

#[derive(Module, Debug)]
struct Block {
    reduce: Conv2d,
    masked: Masked,
    expand: Conv2d,
}

#[derive(Module, Debug)]
pub struct PixelCnn {
    input: Masked,
    blocks: Vec<Block>,
    head: Vec<Conv2d>,
}

impl PixelCnn {
    pub fn new(device: &Device) -> Self {
        let block = |_| Block {
            reduce: conv(32, 16, 1, 1, 0, true).init(device),
            masked: Masked::new(16, 16, 3, true, device),
            expand: conv(16, 32, 1, 1, 0, true).init(device),
        };
        Self {
            input: Masked::new(1, 32, 7, false, device),
            blocks: (0..15).map(block).collect(),
            head: vec![conv(32, 32, 1, 1, 0, true).init(device), conv(32, 1, 1, 1, 0, true).init(device)],
        }
    }
}

impl Likelihood for PixelCnn {
    fn loss(&self, x: Tensor<4>) -> Tensor<1> {
        let mut h = self.input.forward(x.clone());
        for block in &self.blocks {
            let inner = block.masked.forward(relu(block.reduce.forward(relu(h.clone()))));
            h = h + block.expand.forward(relu(inner));
        }
        for layer in &self.head {
            h = layer.forward(relu(h));
        }
        let batch = x.dims()[0] as f64;
        bce(h, x).sum() / batch
    }
}

// --- Variational autoencoders -----------------------------------------------------------------------------------------

pub enum VaeLayers {
    Mlp,
    Conv,
}

#[derive(Module, Debug)]
enum Body {
    Mlp(MlpBody),
    Conv(ConvBody),
}

#[derive(Module, Debug)]
struct MlpBody {
    encode: Linear,
    decode: Linear,
    logits: Linear,
}

#[derive(Module, Debug)]
struct ConvBody {
    conv1: Conv2d,
    conv2: Conv2d,
    project: Linear,
    deconv1: ConvTranspose2d,
    deconv2: ConvTranspose2d,
}

impl Body {
    fn encode(&self, x: Tensor<4>) -> Tensor<2> {
        match self {
            Body::Mlp(body) => relu(body.encode.forward(x.flatten::<2>(1, 3))),
            Body::Conv(body) => relu(body.conv2.forward(relu(body.conv1.forward(x)))).flatten::<2>(1, 3),
        }
    }

    fn decode(&self, z: Tensor<2>) -> Tensor<4> {
        let batch = z.dims()[0];
        match self {
            Body::Mlp(body) => body.logits.forward(relu(body.decode.forward(z))).reshape([batch, 1, 28, 28]),
            Body::Conv(body) => {
                let h = relu(body.project.forward(z)).reshape([batch, 64, 7, 7]);
                body.deconv2.forward(relu(body.deconv1.forward(h)))
            }
        }
    }
}

#[derive(Module, Debug)]
pub struct Vae {
    body: Body,
    mean: Linear,
    log_var: Linear,
}

impl Vae {
    pub fn new(layers: VaeLayers, device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let (body, features) = match layers {
            VaeLayers::Mlp => (Body::Mlp(MlpBody { encode: linear(784, 400), decode: linear(20, 400), logits: linear(400, 784) }), 400),
            VaeLayers::Conv => {
                let body = ConvBody {
                    conv1: conv(1, 32, 4, 2, 1, true).init(device),
                    conv2: conv(32, 64, 4, 2, 1, true).init(device),
                    project: linear(20, 64 * 7 * 7),
                    deconv1: deconv(64, 32, 2, 1, true).init(device),
                    deconv2: deconv(32, 1, 2, 1, true).init(device),
                };
                (Body::Conv(body), 64 * 7 * 7)
            }
        };
        Self { body, mean: linear(features, 20), log_var: linear(features, 20) }
    }
}

impl Likelihood for Vae {
    fn loss(&self, x: Tensor<4>) -> Tensor<1> {
        let h = self.body.encode(x.clone());
        let (mean, log_var) = (self.mean.forward(h.clone()), self.log_var.forward(h));
        let noise = Tensor::random(mean.dims(), Distribution::Normal(0.0, 1.0), &x.device());
        let logits = self.body.decode(mean.clone() + (log_var.clone() * 0.5).exp() * noise);
        let kl = (mean.clone() * mean + log_var.clone().exp() - 1.0 - log_var).sum() * 0.5;
        let batch = x.dims()[0] as f64;
        (bce(logits, x).sum() + kl) / batch
    }
}

// --- DCGAN --------------------------------------------------------------------------------------------------------------

#[derive(Module, Debug)]
struct Generator {
    deconvs: Vec<ConvTranspose2d>,
    norms: Vec<BatchNorm>,
}

impl Generator {
    fn new(device: &Device) -> Self {
        let shapes = [(100, 256, 1, 0), (256, 128, 2, 1), (128, 64, 2, 1), (64, 1, 2, 1)];
        let layer = |(from, to, stride, pad)| deconv(from, to, stride, pad, false).with_initializer(normal()).init(device);
        Self { deconvs: shapes.map(layer).into(), norms: [256, 128, 64].map(|width| norm(width, device)).into() }
    }

    fn forward(&self, z: Tensor<4>) -> Tensor<4> {
        let mut h = z;
        for (deconv, norm) in self.deconvs.iter().zip(&self.norms) {
            h = relu(norm.forward(deconv.forward(h)));
        }
        self.deconvs[self.norms.len()].forward(h).tanh()
    }
}

#[derive(Module, Debug)]
struct Discriminator {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
}

impl Discriminator {
    fn new(device: &Device) -> Self {
        let shapes = [(1, 64, 2, 1), (64, 128, 2, 1), (128, 256, 2, 1), (256, 1, 1, 0)];
        let layer = |(from, to, stride, pad)| conv(from, to, 4, stride, pad, false).with_initializer(normal()).init(device);
        Self { convs: shapes.map(layer).into(), norms: [128, 256].map(|width| norm(width, device)).into() }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let mut h = leaky_relu(self.convs[0].forward(x), 0.2);
        for (conv, norm) in self.convs[1..].iter().zip(&self.norms) {
            h = leaky_relu(norm.forward(conv.forward(h)), 0.2);
        }
        self.convs[self.norms.len() + 1].forward(h)
    }
}

fn normal() -> Initializer {
    Initializer::Normal { mean: 0.0, std: 0.02 }
}

fn norm(width: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(width).init(device)
}

pub struct DcganTraining {
    generator: Option<Generator>,
    discriminator: Option<Discriminator>,
    generator_optimiser: ModuleOptimizer,
    discriminator_optimiser: ModuleOptimizer,
    real: Tensor<4>,
    device: Device,
}

impl DcganTraining {
    pub fn new(batch: usize, device: &Device) -> Self {
        let adam = || AdamConfig::new().with_beta_1(0.5).init();
        Self {
            generator: Some(Generator::new(device)),
            discriminator: Some(Discriminator::new(device)),
            generator_optimiser: adam(),
            discriminator_optimiser: adam(),
            real: binary_images(batch, 32, device) * 2.0 - 1.0,
            device: device.clone(),
        }
    }
}

impl Training for DcganTraining {
    fn step(&mut self) {
        let generator = self.generator.take().expect("put back after each step");
        let discriminator = self.discriminator.take().expect("put back after each step");
        let batch = self.real.dims()[0];
        let z = Tensor::random([batch, 100, 1, 1], Distribution::Normal(0.0, 1.0), &self.device);
        let fake = generator.forward(z);

        // -log D = softplus(-l) and -log(1 - D) = softplus(l).
        let on_real = softplus(-discriminator.forward(self.real.clone()), 1.0).mean();
        let on_fake = softplus(discriminator.forward(fake.clone().detach()), 1.0).mean();
        let gradients = GradientsParams::from_grads((on_real + on_fake).backward(), &discriminator);
        let discriminator = self.discriminator_optimiser.step(2e-4, discriminator, gradients);

        // As in the PyTorch peer, this update leaves out the gradient of the discriminator's weights.
        let loss = softplus(-discriminator.clone().no_grad().forward(fake), 1.0).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &generator);
        self.generator = Some(self.generator_optimiser.step(2e-4, generator, gradients));
        self.discriminator = Some(discriminator);
    }

    fn params(&self) -> usize {
        // Burn counts the running statistics of a batch norm as well; the trained parameters alone are compared.
        let statistics = 2 * (256 + 128 + 64 + 128 + 256);
        let both = self.generator.as_ref().map_or(0, Module::num_params) + self.discriminator.as_ref().map_or(0, Module::num_params);
        both - statistics
    }
}
