//! Mixtures of discretised logistics (Salimans et al., 2017, "PixelCNN++", section 2): how the channels of a pixel hold the parameters.

use crate::error::{Error, Result};

/// A mixture of logistics over the levels of a pixel, which couples its colours linearly.
///
/// Levels 0 … L−1 stand at 2v/(L−1) − 1. A level has the mass of its cell, half a step to each side; the first and the last have the
/// tails as well, so the masses of all levels sum to 1. A component is one for all colours of a pixel, and the mean of a colour is moved
/// by the colours before it, times a coefficient each.
///
/// Of K components and one colour the channels are `[logits, means, log scales]`, K each; of three they are the logits, then for each
/// colour `[means, log scales, coefficients]`. The coefficients of the three places are those of green by red, blue by red, and blue by
/// green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mixture {
    /// Components, K.
    pub components: usize,
    /// Colours of a pixel: 1 or 3.
    pub colours: usize,
    /// Levels of a value, L: 2 to 256.
    pub levels: usize,
}

/// The least log scale; less counts as this. The step between two of 256 levels is 8.6 such scales.
pub const LEAST_LOG_SCALE: f64 = -7.0;

impl Mixture {
    /// Most components.
    pub const MOST: usize = 64;

    /// A mixture.
    ///
    /// # Errors
    /// [`Error::Usage`] where there is no such mixture.
    pub fn new(components: usize, colours: usize, levels: usize) -> Result<Self> {
        if !(1..=Self::MOST).contains(&components) {
            return Err(Error::usage(format!("a mixture has 1 to {} components, not {components}", Self::MOST)));
        }
        if ![1, 3].contains(&colours) {
            return Err(Error::usage(format!("a mixture of logistics is for images of 1 colour or 3, not {colours}")));
        }
        if !(2..=256).contains(&levels) {
            return Err(Error::usage(format!("a mixture of logistics is for 2 to 256 levels, not {levels}")));
        }
        Ok(Self { components, colours, levels })
    }

    /// Parameters of each colour and component.
    fn each(&self) -> usize {
        if self.colours == 1 { 2 } else { 3 }
    }

    /// Channels of each colour.
    pub fn stride(&self) -> usize {
        self.components * self.each()
    }

    /// Channels of a pixel.
    pub fn parameters(&self) -> usize {
        self.components + self.colours * self.stride()
    }

    /// First channel of the means of a colour; its log scales follow.
    pub fn means(&self, colour: usize) -> usize {
        self.components + colour * self.stride()
    }

    /// First channel of the log scales of a colour.
    pub fn scales(&self, colour: usize) -> usize {
        self.means(colour) + self.components
    }

    /// First channel of the coefficients by which an earlier colour moves the mean of a colour.
    pub fn coefficients(&self, colour: usize, earlier: usize) -> usize {
        self.scales(colour * (colour - 1) / 2 + earlier) + self.components
    }

    /// The first colour whose law a channel tells.
    pub fn colour(&self, channel: usize) -> usize {
        let (group, place) = (channel / self.components, self.each());
        match group.checked_sub(1) {
            None => 0,
            Some(group) if group % place == 2 => [1, 2, 2][group / place],
            Some(group) => group / place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_has_one_use() -> Result<()> {
        let grey = Mixture::new(5, 1, 256)?;
        assert_eq!((grey.parameters(), grey.means(0), grey.scales(0)), (15, 5, 10));
        let colour = Mixture::new(10, 3, 256)?;
        assert_eq!(colour.parameters(), 100);
        let mut firsts = vec![(0, 0)];
        for c in 0..3 {
            firsts.extend([(colour.means(c), c), (colour.scales(c), c)]);
            firsts.extend((0..c).map(|e| (colour.coefficients(c, e), c)));
        }
        firsts.sort_unstable();
        assert_eq!(firsts.iter().map(|f| f.0).collect::<Vec<_>>(), (0..10).map(|g| g * 10).collect::<Vec<_>>());
        assert!((0..100).all(|channel| colour.colour(channel) == firsts[channel / 10].1));
        Ok(())
    }

    #[test]
    fn what_is_no_mixture_is_refused() {
        for (components, colours, levels) in [(0, 1, 256), (65, 1, 256), (5, 2, 256), (5, 3, 1), (5, 3, 257)] {
            assert!(Mixture::new(components, colours, levels).is_err());
        }
    }
}
