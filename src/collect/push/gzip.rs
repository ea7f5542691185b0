//! gzip with a limit on what comes out: a kilobyte can hold a gigabyte of nothing.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::BodyError;

/// Unpacks a body.
///
/// # Errors
/// `TooLarge` before more than `max` bytes are held; `Gzip` for what is none or breaks off.
pub fn unpack(packed: &[u8], max: usize) -> Result<Vec<u8>, BodyError> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    MultiGzDecoder::new(packed)
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| BodyError::Gzip {
            reason: error.to_string(),
        })?;
    if bytes.len() > max {
        return Err(BodyError::TooLarge { max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused_without_being_held() {
        let bomb = pack(&vec![0; 50_000_000]);
        assert!(bomb.len() < 60_000);
        assert_eq!(
            unpack(&bomb, 1_000_000),
            Err(BodyError::TooLarge { max: 1_000_000 })
        );
        assert_eq!(unpack(&pack(b"1234"), 4).unwrap(), b"1234");
        assert!(unpack(&pack(b"12345"), 4).is_err());
    }

    #[test]
    fn members_follow_each_other_and_none_breaks_off() {
        let two = [pack(b"one "), pack(b"two")].concat();
        assert_eq!(unpack(&two, 100).unwrap(), b"one two");
        for cut in 1..two.len() {
            let (cut, _) = two.split_at(cut);
            if let Ok(bytes) = unpack(cut, 100) {
                assert_eq!(bytes, b"one ", "only whole members");
            }
        }
        assert!(matches!(unpack(b"{}", 100), Err(BodyError::Gzip { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fall_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            unpack(&bytes, 1_000).ok();
            let headed = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &bytes].concat();
            unpack(&headed, 1_000).ok();
        }
    }
}
