//! Byte orders written out, letter by letter.

use serde::Deserialize;

/// Most bytes of a number.
const BYTES_MAX: usize = 8;

/// The order in which the bytes of a number come over the wire: A is the most significant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(in crate::decode) struct Permutation {
    len: usize,
    /// Place on the wire of each byte, most significant first.
    place: [usize; BYTES_MAX],
}

/// A text that is no order.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no byte order; write ABCD, CDAB, BADC or DCBA, or the letters A to B, D, F or H in the order \
     in which the bytes come, A the most significant: CDABGHEF"
)]
pub(in crate::decode) struct NoOrder(String);

impl TryFrom<String> for Permutation {
    type Error = NoOrder;

    fn try_from(text: String) -> Result<Self, NoOrder> {
        let len = text.len();
        let mut place = [usize::MAX; BYTES_MAX];
        let is_even = matches!(len, 2 | 4 | 6 | 8);
        let is_good = is_even
            && text.bytes().enumerate().all(|(at, letter)| {
                let significance = usize::from(letter.wrapping_sub(b'A'));
                match place.get_mut(significance) {
                    Some(slot) if significance < len && *slot == usize::MAX => {
                        *slot = at;
                        true
                    }
                    _ => false,
                }
            });
        if is_good {
            Ok(Self { len, place })
        } else {
            Err(NoOrder(text))
        }
    }
}

impl Permutation {
    /// Bytes it puts in order.
    pub(in crate::decode) const fn len(self) -> usize {
        self.len
    }

    /// The bytes of a number, most significant first; as they came where there are not as many as it
    /// has letters, which the profile's check rules out.
    pub(super) fn apply(self, wire: &[u8]) -> Vec<u8> {
        if wire.len() != self.len {
            return wire.to_vec();
        }
        self.place
            .iter()
            .take(self.len)
            .filter_map(|at| wire.get(*at).copied())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Result<Permutation, NoOrder> {
        Permutation::try_from(text.to_owned())
    }

    #[test]
    fn words_swapped_in_each_half_and_halves_swapped() {
        let plain = [1, 2, 3, 4, 5, 6, 7, 8];
        let apply = |text: &str, wire: [u8; 8]| order(text).unwrap().apply(&wire);
        assert_eq!(apply("CDABGHEF", [3, 4, 1, 2, 7, 8, 5, 6]), plain);
        assert_eq!(apply("EFGHABCD", [5, 6, 7, 8, 1, 2, 3, 4]), plain);
        assert_eq!(apply("HGFEDCBA", [8, 7, 6, 5, 4, 3, 2, 1]), plain);
        assert_eq!(
            order("EFCDAB").unwrap().apply(&[5, 6, 3, 4, 1, 2]),
            [1, 2, 3, 4, 5, 6]
        );
        assert_eq!(order("BA").unwrap().apply(&[2, 1]), [1, 2]);
    }

    #[test]
    fn what_is_no_order_is_refused() {
        for text in ["", "A", "ABC", "ABCC", "ABCE", "abcd", "ABCDEFGHIJ", "AÄ"] {
            assert!(order(text).is_err(), "{text}");
        }
    }
}
