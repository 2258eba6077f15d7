//! The objectives, from logits: stable for every logit, and one fused pass with their gradients.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::graph::{Builder, Graph, NodeId, Unary, Value};

/// What the two networks play for. With l = D's logit and σ the logistic function:
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// D: −ln σ(l) on real, −ln(1 − σ(l)) on fake; G: +ln(1 − σ(l)), which saturates where D is sure (Goodfellow et al., 2014, eq. 1).
    Minimax,
    /// D the same; G: −ln σ(l) (the same, section 3).
    NonSaturating,
    /// D: −l on real, +l on fake; G: −l (Arjovsky et al., 2017).
    Wasserstein,
    /// D: ½(l − 1)² on real, ½l² on fake; G: ½(l − 1)² (Mao et al., 2017, eq. 9).
    LeastSquares,
    /// D: max(0, 1 − l) on real, max(0, 1 + l) on fake; G: −l (Lim and Ye, 2017; Miyato et al., 2018).
    Hinge,
}

impl Loss {
    /// Its name as `--set loss=` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minimax => "minimax",
            Self::NonSaturating => "non-saturating",
            Self::Wasserstein => "wasserstein",
            Self::LeastSquares => "least-squares",
            Self::Hinge => "hinge",
        }
    }

    /// Whether logits are drawn towards a target, which can be smoothed.
    pub fn has_targets(self) -> bool {
        matches!(self, Self::Minimax | Self::NonSaturating | Self::LeastSquares)
    }

    /// Whether σ(logit) is D's probability that an item is real.
    pub fn is_probability(self) -> bool {
        matches!(self, Self::Minimax | Self::NonSaturating)
    }

    /// The unit of the discriminator's loss.
    pub fn unit(self) -> &'static str {
        if self.is_probability() { "nats" } else { "" }
    }

    /// D's loss of each real item; `smoothing` is how far its target is below 1.
    pub fn of_real(self, b: &mut Builder, logit: Value, smoothing: f64) -> Value {
        match self {
            Self::Minimax | Self::NonSaturating => {
                // −(1 − s)·ln σ(l) − s·ln(1 − σ(l)) = softplus(−l) + s·l
                let minus = b.neg(logit);
                let sure = b.unary(Unary::Softplus, minus);
                let smooth = b.scale(logit, smoothing);
                b.add(sure, smooth)
            }
            Self::Wasserstein => b.neg(logit),
            Self::LeastSquares => half_square(b, logit, 1.0 - smoothing),
            Self::Hinge => {
                let minus = b.neg(logit);
                let margin = b.offset(minus, 1.0);
                b.unary(Unary::Relu, margin)
            }
        }
    }

    /// D's loss of each generated item.
    pub fn of_fake(self, b: &mut Builder, logit: Value) -> Value {
        match self {
            Self::Minimax | Self::NonSaturating => b.unary(Unary::Softplus, logit),
            Self::Wasserstein => logit,
            Self::LeastSquares => half_square(b, logit, 0.0),
            Self::Hinge => {
                let margin = b.offset(logit, 1.0);
                b.unary(Unary::Relu, margin)
            }
        }
    }

    /// G's loss of each generated item.
    pub fn of_generator(self, b: &mut Builder, logit: Value) -> Value {
        match self {
            Self::Minimax => {
                let soft = b.unary(Unary::Softplus, logit);
                b.neg(soft)
            }
            Self::NonSaturating => {
                let minus = b.neg(logit);
                b.unary(Unary::Softplus, minus)
            }
            Self::Wasserstein | Self::Hinge => b.neg(logit),
            Self::LeastSquares => half_square(b, logit, 1.0),
        }
    }

    /// The mean of D's loss over real logits plus its mean over fake ones.
    pub fn discriminator(self, g: &mut Graph, real: NodeId, fake: NodeId, smoothing: f64) -> Result<NodeId> {
        let real = g.map(&[real], |b, v| self.of_real(b, v[0], smoothing))?;
        let fake = g.map(&[fake], |b, v| self.of_fake(b, v[0]))?;
        let (real, fake) = (g.mean_all(real)?, g.mean_all(fake)?);
        g.add(real, fake)
    }

    /// The mean of G's loss over fake logits.
    pub fn generator(self, g: &mut Graph, fake: NodeId) -> Result<NodeId> {
        let fake = g.map(&[fake], |b, v| self.of_generator(b, v[0]))?;
        g.mean_all(fake)
    }

    /// What D says of a batch on the average: the mean probability where its logits are one's, else the mean logit.
    pub fn opinion(self, g: &mut Graph, logits: NodeId) -> Result<NodeId> {
        let said = if self.is_probability() { g.sigmoid(logits)? } else { logits };
        g.mean_all(said)
    }
}

/// ½(x − target)²
fn half_square(b: &mut Builder, x: Value, target: f64) -> Value {
    let off = b.offset(x, -target);
    let square = b.mul(off, off);
    b.scale(square, 0.5)
}
