//! Ciphers of M-Bus: AES-128 in CBC (modes 5 and 7) and CTR (extended link layer), CMAC.
//!
//! # Source
//! EN 13757-7:2018, clauses 6 and 7; OMS specification volume 2, clause 9.

use aes::Aes128;
use aes::cipher::{BlockModeDecrypt as _, KeyIvInit as _, StreamCipher as _};
use cmac::{Cmac, KeyInit as _, Mac as _};

/// A key or block.
pub(in crate::decode) type Block = [u8; 16];

/// Decrypts whole blocks in place; bytes behind the last whole block stay as they are.
pub(in crate::decode) fn cbc_decrypt(key: &Block, iv: &Block, bytes: &mut [u8]) {
    let mut cipher = cbc::Decryptor::<Aes128>::new(key.into(), iv.into());
    let (blocks, _) = bytes.as_chunks_mut::<16>();
    for block in blocks {
        cipher.decrypt_block(block.into());
    }
}

/// Decrypts in place with a counter that starts at `iv`.
pub(in crate::decode) fn ctr_decrypt(key: &Block, iv: &Block, bytes: &mut [u8]) {
    ctr::Ctr128BE::<Aes128>::new(key.into(), iv.into()).unchecked_apply_keystream(bytes);
}

/// What a derived key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Purpose {
    /// Encryption of what the meter sends.
    Encryption,
    /// Authentication of what the meter sends.
    Authentication,
}

/// The key of one message (key derivation function A): CMAC of the meter's own key over constant,
/// message counter and meter number, filled up with 07h.
pub(in crate::decode) fn derive(
    key: &Block,
    purpose: Purpose,
    counter: [u8; 4],
    id: [u8; 4],
) -> Block {
    let constant = match purpose {
        Purpose::Encryption => 0x00,
        Purpose::Authentication => 0x01,
    };
    let mut mac = Cmac::<Aes128>::new(key.into());
    mac.update(&[constant]);
    mac.update(&counter);
    mac.update(&id);
    mac.update(&[0x07; 7]);
    mac.finalize().into_bytes().into()
}

/// Whether `tag` is the beginning of the CMAC over `parts`, in constant time.
pub(in crate::decode) fn is_authentic(key: &Block, parts: &[&[u8]], tag: &[u8]) -> bool {
    let mut mac = Cmac::<Aes128>::new(key.into());
    for part in parts {
        mac.update(part);
    }
    mac.verify_truncated_left(tag).is_ok()
}
