//! Small things about text that every ring needs.

use std::error::Error;

/// An error with its causes, in one line. A cause that the text already holds is not said twice.
pub fn error_chain(error: &dyn Error) -> String {
    chained(error.to_string(), error)
}

/// The same, with words of one's own instead of the error's.
pub fn chained(mut text: String, error: &dyn Error) -> String {
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

/// All words of a text on one line, one space between them.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// FNV-1a of 64 bits: spreads evenly and is the same on every machine and in every version; no
/// protection against anybody. Source: draft-eastlake-fnv-17, §5.
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error, &'static str);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.1)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn causes_follow_the_error_and_none_is_said_twice() {
        let inner = || io::Error::other("no route to host");
        let error = Outer(inner(), "cannot connect");
        assert_eq!(error_chain(&error), "cannot connect: no route to host");
        let error = Outer(inner(), "cannot connect (no route to host)");
        assert_eq!(error_chain(&error), "cannot connect (no route to host)");
        assert_eq!(
            chained("timed out".into(), &error),
            "timed out: no route to host"
        );
    }

    #[test]
    fn a_text_of_many_lines_becomes_one() {
        assert_eq!(one_line(" a\n\t b  c\n"), "a b c");
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(*b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
    }
}
