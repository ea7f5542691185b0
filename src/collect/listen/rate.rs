//! Rates: over its rate someone is slowed down, not cut off; only connection attempts are refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses remembered at most; beyond that the ones with a full bucket are forgotten.
const ADDRESSES_MAX: usize = 65_536;

/// A token bucket that may go into debt: who takes more than there is waits until it is paid.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    per_s: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(per_s: f64, burst: f64, now: Instant) -> Self {
        let burst = burst.max(1.0);
        Self {
            per_s,
            burst,
            tokens: burst,
            at: now,
        }
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_s;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.at = now;
    }

    /// Takes one; how long to wait before the next.
    pub(super) fn take(&mut self, now: Instant) -> Duration {
        self.refill(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.tokens / self.per_s)
        }
    }

    /// Takes one if there is one.
    pub(super) fn try_take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let has_one = self.tokens >= 1.0;
        if has_one {
            self.tokens -= 1.0;
        }
        has_one
    }
}

/// A bucket for a rate in messages a second; none without a limit.
pub(super) fn limit(per_s: u32, burst: u32, now: Instant) -> Option<Bucket> {
    (per_s > 0).then(|| Bucket::new(f64::from(per_s), f64::from(burst.max(1)), now))
}

/// A bucket that several connections of one user share.
pub(super) type SharedBucket = Arc<Mutex<Bucket>>;

/// The buckets of users who are connected.
#[derive(Debug, Default)]
pub(super) struct UserBuckets(Mutex<BTreeMap<String, std::sync::Weak<Mutex<Bucket>>>>);

impl UserBuckets {
    /// The bucket of a user, made with the first connection and gone with the last.
    pub(super) fn of(&self, user: &str, new: Bucket) -> SharedBucket {
        let mut users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = users.get(user).and_then(std::sync::Weak::upgrade) {
            return bucket;
        }
        users.retain(|_, bucket| bucket.strong_count() > 0);
        let bucket = Arc::new(Mutex::new(new));
        users.insert(user.to_owned(), Arc::downgrade(&bucket));
        bucket
    }
}

/// Connection attempts by address.
#[derive(Debug)]
pub(super) struct Addresses {
    per_minute: u32,
    buckets: BTreeMap<IpAddr, Bucket>,
}

impl Addresses {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            buckets: BTreeMap::new(),
        }
    }

    /// Whether one more attempt from there is allowed.
    pub(super) fn admit(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.per_minute == 0 {
            return true;
        }
        if self.buckets.len() >= ADDRESSES_MAX {
            self.buckets.retain(|_, bucket| {
                bucket.refill(now);
                bucket.tokens < bucket.burst
            });
            if self.buckets.len() >= ADDRESSES_MAX {
                // So many at once is an attack from everywhere; connections_max still holds.
                self.buckets.clear();
            }
        }
        let per_minute = f64::from(self.per_minute);
        self.buckets
            .entry(subscriber(address))
            .or_insert_with(|| Bucket::new(per_minute / 60.0, per_minute, now))
            .try_take(now)
    }
}

/// A subscriber of an IPv6 network has a /64 to choose addresses from.
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or_else(
            || IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 64))),
            IpAddr::V4,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_too_much_waits_until_it_is_paid() {
        let start = Instant::now();
        let mut bucket = limit(10, 5, start).unwrap();
        for _ in 0..5 {
            assert_eq!(bucket.take(start), Duration::ZERO);
        }
        assert_eq!(bucket.take(start), Duration::from_millis(100));
        assert_eq!(bucket.take(start), Duration::from_millis(200));
        assert_eq!(
            bucket.take(start + Duration::from_millis(300)),
            Duration::ZERO
        );
        // A long silence fills it to the burst and no further.
        let later = start + Duration::from_hours(1);
        for _ in 0..5 {
            assert_eq!(bucket.take(later), Duration::ZERO);
        }
        assert!(bucket.take(later) > Duration::ZERO);
        assert!(limit(0, 5, start).is_none());
    }

    #[test]
    fn an_address_that_connects_too_often_is_told_apart_from_its_neighbours() {
        let start = Instant::now();
        let mut addresses = Addresses::new(3);
        let (one, two) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..3 {
            assert!(addresses.admit(one, start));
        }
        assert!(!addresses.admit(one, start));
        assert!(addresses.admit(two, start));
        assert!(addresses.admit(one, start + Duration::from_secs(20)));
        assert!(!addresses.admit(one, start + Duration::from_secs(20)));
        let six = |last: &str| format!("2001:db8::{last}").parse().unwrap();
        for n in 0..3 {
            assert!(addresses.admit(six(&n.to_string()), start));
        }
        assert!(!addresses.admit(six("abcd"), start), "the same /64");
        assert!(Addresses::new(0).admit(one, start));
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let start = Instant::now();
        let mut addresses = Addresses::new(1);
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 10 {
            addresses.admit(IpAddr::from(n.to_be_bytes()), start);
        }
        assert!(addresses.buckets.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn connections_of_one_user_share_a_bucket() {
        let now = Instant::now();
        let buckets = UserBuckets::default();
        let new = || limit(1, 1, now).unwrap();
        let (a, b) = (buckets.of("u", new()), buckets.of("u", new()));
        assert!(Arc::ptr_eq(&a, &b));
        assert!(!Arc::ptr_eq(&a, &buckets.of("v", new())));
        drop((a, b));
        assert_eq!(Arc::strong_count(&buckets.of("u", new())), 1);
    }
}
