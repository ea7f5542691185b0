//! Growing, jittered delays between attempts.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Delays that double from the shortest to the longest, each cut by up to half at random, so that
/// a thousand daemons do not return to a broker at the same instant.
#[derive(Debug)]
pub(super) struct Backoff {
    shortest: Duration,
    longest: Duration,
    step: u32,
    random: StdRng,
}

impl Backoff {
    pub(super) fn new(shortest: Duration, longest: Duration) -> Self {
        let shortest = shortest.max(Duration::from_millis(10));
        Self {
            shortest,
            longest: longest.max(shortest),
            step: 0,
            random: StdRng::seed_from_u64(RandomState::new().hash_one("backoff")),
        }
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    pub(super) fn reset(&mut self) {
        self.step = 0;
    }

    pub(super) fn next_delay(&mut self) -> Duration {
        let factor = 2_u32.saturating_pow(self.step.min(20));
        let delay = self.shortest.saturating_mul(factor).min(self.longest);
        self.step = self.step.saturating_add(1);
        delay.mul_f64(self.random.random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        for expected_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let delay = backoff.next_delay().as_millis();
            assert!(delay >= expected_ms / 2 && delay <= expected_ms, "{delay}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(100));
    }
}
