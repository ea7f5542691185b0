//! Randomness with random access: a hash of (seed, stream, index), so that any day of any meter
//! can be asked for alone and always has the same value.
//!
//! Only additions, multiplications and square roots are used (here and in the whole city): IEEE
//! 754 fixes their results, so the same seed gives the same bytes on every machine.

/// A family of random streams of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noise {
    seed: u64,
}

/// What a stream is for; keeps streams of the same index apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Stream {
    Weather = 1,
    WeatherHour = 2,
    ForecastOwn = 3,
    ForecastCommon = 4,
    MeterDay = 5,
    MeterHour = 6,
    ClassDay = 7,
    GateDay = 8,
    FramePhase = 9,
    FrameFate = 10,
    Telemetry = 11,
    Plan = 12,
    Garbage = 13,
    Ring = 14,
    Flow = 15,
}

impl Noise {
    /// The streams of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// 64 random bits of a place in a stream (the splitmix64 finaliser, applied three times).
    pub(crate) const fn bits(self, stream: Stream, a: u64, b: u64) -> u64 {
        let keyed = mix(self
            .seed
            .wrapping_add((stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        mix(mix(keyed ^ a.wrapping_mul(0xd6e8_feb8_6659_fd93)) ^ b)
    }

    /// Uniform in [0, 1).
    pub(crate) fn uniform(self, stream: Stream, a: u64, b: u64) -> f64 {
        (self.bits(stream, a, b) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, variance 1, bell-shaped within ±3.46: four uniforms of 16 bits added up.
    pub(crate) fn normal(self, stream: Stream, a: u64, b: u64) -> f64 {
        let bits = self.bits(stream, a, b);
        let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xffff).sum();
        // Variance of the sum is 4·(2^32 − 1)/12; mean is 2·65535.
        (sum as f64 - 131_070.0) / 37_837.227
    }

    /// Mean 0, variance 1, correlation `rho` from one `b` to the next: an AR(1) process cut after
    /// eight terms, so that it needs no memory.
    pub(crate) fn autoregressive(self, stream: Stream, a: u64, b: i64, rho: f64) -> f64 {
        let mut weight = 1.0;
        let mut sum = 0.0;
        let mut variance = 0.0;
        for back in 0..8 {
            sum += weight * self.normal(stream, a, day_key(b - back));
            variance += weight * weight;
            weight *= rho;
        }
        sum / variance.sqrt()
    }
}

/// An epoch day or hour as a stream index.
pub(crate) const fn day_key(day: i64) -> u64 {
    day.cast_unsigned()
}

const fn mix(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A value in units of 1e-4 m³; volumes of a city stay far below 2^53 units.
#[expect(
    clippy::cast_possible_truncation,
    reason = "city volumes are far below 2^53 units"
)]
pub(crate) fn units(m3: f64) -> i64 {
    (m3.max(0.0) * 10_000.0).round() as i64
}

/// A non-negative count or position; negative gives zero.
pub(crate) fn position(value: i64) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// Whole seconds or counts from a small positive float.
#[expect(
    clippy::cast_possible_truncation,
    reason = "phases, periods and counts fit by far"
)]
pub(crate) fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let noise = Noise::new(7);
        let draws: Vec<f64> = (0..20_000)
            .map(|i| noise.normal(Stream::MeterDay, 3, i))
            .collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03, "{mean}");
        assert!((variance - 1.0).abs() < 0.04, "{variance}");
    }

    #[test]
    fn neighbouring_days_are_correlated_as_asked_and_streams_are_not() {
        let noise = Noise::new(7);
        let at = |day| noise.autoregressive(Stream::MeterDay, 1, day, 0.7);
        let other = |day| noise.autoregressive(Stream::ClassDay, 1, day, 0.7);
        let count = 20_000;
        let lag: f64 = (0..count).map(|d| at(d) * at(d + 1)).sum::<f64>() / count as f64;
        let cross: f64 = (0..count).map(|d| at(d) * other(d)).sum::<f64>() / count as f64;
        assert!((lag - 0.7).abs() < 0.06, "{lag}");
        assert!(cross.abs() < 0.06, "{cross}");
    }
}
