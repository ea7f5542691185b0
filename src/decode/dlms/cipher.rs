//! Protection of an APDU: general-glo-ciphering with AES-128-GCM.
//!
//! A frame that is only encrypted can be changed on its way without anybody seeing it; one that is
//! authenticated too cannot. The profile says which a meter sends, and nothing weaker is taken.
//! The invocation counter is not held against earlier ones: a frame sent again says what it said
//! before, and storing it again changes nothing.
//!
//! # Source
//! IEC 62056-5-3, 5.3 and 9.2 (security suites 0 and 1: AES-GCM-128, tag of 96 bits).

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::consts::U12;
use aes_gcm::{AeadInOut as _, AesGcm, KeyInit as _};
use serde::Deserialize;

use crate::decode::code::reject;
use crate::decode::context::DecodeContext;
use crate::decode::dlms::axdr::Reader;
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::key::DeviceKey;

/// AES-128-GCM with a tag of 12 bytes.
type Gcm = AesGcm<Aes128, U12, U12>;

const TAG_LEN: usize = 12;
/// Bits of the security control byte.
const SUITE: u8 = 0x0F;
const AUTHENTICATED: u8 = 0x10;
const ENCRYPTED: u8 = 0x20;
const BROADCAST_KEY: u8 = 0x40;
const COMPRESSED: u8 = 0x80;

/// What a profile demands of its meters' frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Protection {
    /// They are not ciphered.
    #[default]
    None,
    /// They are encrypted; authenticated or not.
    Encrypted,
    /// They are encrypted and authenticated.
    Authenticated,
}

/// An opened frame: who sent it, and the plain APDU.
pub(super) struct Opened {
    /// System title of the sender, hexadecimal: the name its keys go by.
    pub(super) sender: DeviceId,
    pub(super) apdu: Vec<u8>,
}

/// The authentication key of the sender, or of the device the transport stands for.
fn authentication_key<'a>(sender: &DeviceId, context: &DecodeContext<'a>) -> Option<&'a DeviceKey> {
    let find = |device: &DeviceId| context.keys.get(&DeviceId::new(format!("{device}/auth")));
    find(sender).or_else(|| context.device.and_then(find))
}

/// Opens a general-glo-ciphering APDU, its tag already read.
pub(super) fn open(
    bytes: &[u8],
    protection: Protection,
    published: Option<&DeviceKey>,
    context: &DecodeContext<'_>,
) -> Result<Opened, RejectReason> {
    let mut reader = Reader::new(bytes);
    let length = reader.length()?;
    let title = reader.slice(length)?;
    let Ok(title) = <[u8; 8]>::try_from(title) else {
        return Err(security(format_args!(
            "names its sender with {length} bytes; a system title has 8"
        )));
    };
    let length = reader.length()?;
    let content = reader.slice(length)?;
    if !reader.rest().is_empty() {
        return Err(RejectReason::new(
            reject::TRAILING,
            format!("{} bytes follow the ciphered message", reader.rest().len()),
        ));
    }
    let Some((&[control, c3, c2, c1, c0], content)) = content.split_first_chunk::<5>() else {
        return Err(RejectReason::new(
            reject::TRUNCATED,
            "message ends before its security header",
        ));
    };
    check_control(control, protection)?;
    let sender = DeviceId::new(hex::encode_upper(title));
    let key = context
        .key(&sender)
        .ok_or_else(|| missing("key", "its system title in hexadecimal"))?;
    let [t7, t6, t5, t4, t3, t2, t1, t0] = title;
    let nonce = [t7, t6, t5, t4, t3, t2, t1, t0, c3, c2, c1, c0];
    let cipher = Gcm::new(key.bytes().into());
    if control & AUTHENTICATED == 0 {
        let mut apdu = content.to_vec();
        // In counter mode to encrypt once more is to decrypt; there is no tag to compare.
        cipher
            .encrypt_inout_detached(&nonce.into(), &[], InOutBuf::from(apdu.as_mut_slice()))
            .map_err(|_| security("is too long for its cipher"))?;
        return Ok(Opened { sender, apdu });
    }
    let authentication = authentication_key(&sender, context)
        .or(published)
        .ok_or_else(|| {
            missing(
                "authentication key",
                "its system title in hexadecimal and /auth",
            )
        })?;
    let Some((body, tag)) = content.split_last_chunk::<TAG_LEN>() else {
        return Err(RejectReason::new(
            reject::TRUNCATED,
            "message ends before its authentication tag",
        ));
    };
    let mut associated = Vec::with_capacity(17 + body.len());
    associated.push(control);
    associated.extend_from_slice(authentication.bytes());
    let mut apdu = body.to_vec();
    let encrypted: &mut [u8] = if control & ENCRYPTED == 0 {
        associated.extend_from_slice(body);
        &mut []
    } else {
        &mut apdu
    };
    cipher
        .decrypt_inout_detached(
            &nonce.into(),
            &associated,
            InOutBuf::from(encrypted),
            &(*tag).into(),
        )
        .map_err(|_| {
            security("does not match its authentication tag: it was changed, or one of the keys is another")
        })?;
    Ok(Opened { sender, apdu })
}

fn check_control(control: u8, protection: Protection) -> Result<(), RejectReason> {
    if control & SUITE > 1 {
        return Err(security(format_args!(
            "is of security suite {}; suites 0 and 1 are known",
            control & SUITE
        )));
    }
    if control & BROADCAST_KEY != 0 {
        return Err(security("is ciphered with a broadcast key"));
    }
    if control & COMPRESSED != 0 {
        return Err(security("is compressed"));
    }
    let is_enough = match protection {
        Protection::None => {
            return Err(security(
                "is ciphered; write protection = \"encrypted\" or \"authenticated\" in [dlms]",
            ));
        }
        Protection::Encrypted => control & ENCRYPTED != 0,
        Protection::Authenticated => {
            control & (ENCRYPTED | AUTHENTICATED) == ENCRYPTED | AUTHENTICATED
        }
    };
    if is_enough {
        Ok(())
    } else {
        Err(security(
            "is protected less than the profile demands (security control byte)",
        ))
    }
}

fn missing(what: &str, name: &str) -> RejectReason {
    RejectReason::new(
        reject::KEY_MISSING,
        format!(
            "there is no {what} of the frame's sender; add it to the file of keys under {name}"
        ),
    )
}

pub(super) fn security(what: impl std::fmt::Display) -> RejectReason {
    RejectReason::new(reject::SECURITY, format!("message {what}"))
}
