//! From the CI field to the records: extended link layer, authentication and fragmentation layer,
//! transport header, decryption.
//!
//! # Source
//! EN 13757-3 (transport headers), EN 13757-4 clause 12 (extended link layer), EN 13757-7 (security
//! modes, AFL); OMS specification volume 2, clauses 6 to 9.

use crate::decode::code::reject;
use crate::decode::context::DecodeContext;
use crate::decode::mbus::address::{Address, DeviceForm};
use crate::decode::mbus::crypt::{self, Purpose};
use crate::decode::mbus::record::{FILLER, Order};
use crate::decode::wmbus::crc::crc;
use crate::domain::frame::RejectReason;
use crate::domain::id::DeviceId;
use crate::domain::key::DeviceKey;

/// Bytes of a telegram at most: its length is one byte.
const TELEGRAM_MAX: usize = 256;
/// Cipher blocks of 16 bytes.
const BLOCK: usize = 16;
/// The bit of the communication control field that a repeater sets.
const REPEATED: u8 = 0x10;

/// A telegram's bytes, to be decrypted in place.
#[derive(Debug)]
pub(in crate::decode) struct Buffer {
    bytes: [u8; TELEGRAM_MAX],
    size: usize,
}

impl Buffer {
    pub(in crate::decode) const fn new() -> Self {
        Self {
            bytes: [0; TELEGRAM_MAX],
            size: 0,
        }
    }

    /// Adds bytes; a telegram cannot have more than 256.
    pub(in crate::decode) fn push(&mut self, bytes: &[u8]) -> Result<(), RejectReason> {
        let place = self
            .bytes
            .get_mut(self.size..)
            .and_then(|free| free.get_mut(..bytes.len()))
            .ok_or_else(|| {
                RejectReason::new(
                    reject::TOO_LONG,
                    format!("telegram has more than {TELEGRAM_MAX} bytes"),
                )
            })?;
        place.copy_from_slice(bytes);
        self.size += bytes.len();
        Ok(())
    }

    pub(in crate::decode) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.size).unwrap_or_default()
    }

    pub(in crate::decode) fn after(&self, at: usize) -> &[u8] {
        self.bytes().get(at..).unwrap_or_default()
    }

    fn after_mut(&mut self, at: usize) -> &mut [u8] {
        self.bytes.get_mut(at..self.size).unwrap_or_default()
    }

    fn array<const N: usize>(&self, at: &mut usize) -> Result<[u8; N], RejectReason> {
        let taken = self
            .bytes()
            .get(*at..)
            .and_then(|rest| rest.first_chunk::<N>())
            .ok_or_else(|| {
                RejectReason::new(
                    reject::TRUNCATED,
                    format!("telegram ends within a header, after {} bytes", self.size),
                )
            })?;
        *at += N;
        Ok(*taken)
    }
}

/// What the profile says of the way to the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Policy {
    pub(in crate::decode) form: DeviceForm,
    /// The gateway decrypts, and leaves the headers as they were.
    pub(in crate::decode) is_decrypted: bool,
}

/// A telegram whose records can be read.
#[derive(Debug)]
pub(in crate::decode) struct Telegram {
    pub(in crate::decode) address: Option<Address>,
    pub(in crate::decode) device: Option<DeviceId>,
    /// The status byte of the transport header; 0 where there is none.
    pub(in crate::decode) status: u8,
    pub(in crate::decode) order: Order,
    /// Where in the buffer the records begin.
    pub(in crate::decode) records_at: usize,
}

/// The authentication and fragmentation layer of a telegram.
#[derive(Debug, Clone, Copy)]
struct Afl {
    control: u8,
    counter: Option<[u8; 4]>,
    length: Option<[u8; 2]>,
    tag: [u8; 16],
    tag_size: usize,
    message_at: usize,
}

/// Reads the layers of a telegram from its CI field on. `link` is the address of the link layer.
pub(in crate::decode) fn open(
    buffer: &mut Buffer,
    link: Option<Address>,
    policy: Policy,
    context: &DecodeContext<'_>,
) -> Result<Telegram, RejectReason> {
    let mut link = link;
    let mut at = 0;
    let mut afl = None;
    let mut was_encrypted = false;
    loop {
        let [ci] = buffer.array(&mut at)?;
        match ci {
            0x8C..=0x8F => {
                was_encrypted |= extended_link(buffer, ci, &mut at, &mut link, policy, context)?;
            }
            0x90 => afl = Some(authentication(buffer, &mut at)?),
            0x72 | 0x76 | 0x7A | 0x78 => {
                let opener = Opener {
                    policy,
                    context,
                    afl,
                    was_encrypted,
                };
                return opener.transport(buffer, ci, at, link);
            }
            0x6E..=0x70 => {
                return Err(RejectReason::new(
                    reject::DEVICE_ERROR,
                    format!("meter answered with an application error (CI {ci:02X}h)"),
                ));
            }
            _ => {
                return Err(RejectReason::new(
                    reject::CI,
                    format!(
                        "CI field is {ci:02X}h, {}; this codec reads 72h, 76h, 78h and 7Ah",
                        ci_text(ci)
                    ),
                ));
            }
        }
    }
}

const fn ci_text(ci: u8) -> &'static str {
    match ci {
        0x71 => "an alarm",
        0x73 | 0x77 => "the fixed data structure of before 2003",
        0x69..=0x6B | 0x79 | 0x7B => {
            "a format or compact frame, whose layout another telegram told"
        }
        0x6C | 0x6D => "a clock command",
        0x7C | 0x7D | 0x60 | 0x61 => "DLMS/COSEM",
        0x7E | 0x7F | 0x66..=0x68 => "SML",
        0x80 | 0x8A | 0x8B => "a pure transport layer without records",
        0x81 => "a network layer",
        0xA0..=0xB7 => "a vendor's own layout",
        _ => "not a meter's answer",
    }
}

/// CI 8Ch to 8Fh. True if its payload was encrypted.
fn extended_link(
    buffer: &mut Buffer,
    ci: u8,
    at: &mut usize,
    link: &mut Option<Address>,
    policy: Policy,
    context: &DecodeContext<'_>,
) -> Result<bool, RejectReason> {
    let [control, _access] = buffer.array(at)?;
    if matches!(ci, 0x8E | 0x8F) {
        *link = Some(Address::of_link(buffer.array(at)?));
    }
    if matches!(ci, 0x8C | 0x8E) {
        return Ok(false);
    }
    let session: [u8; 4] = buffer.array(at)?;
    let mode = u32::from_le_bytes(session) >> 29;
    match mode {
        0 => {}
        1 => {
            let Some(address) = link else {
                return Err(nameless());
            };
            let (device, key) = key_of(*address, policy, context);
            let key = key.ok_or_else(|| key_missing(&device, "extended link layer"))?;
            let [m0, m1, a0, a1, a2, a3, a4, a5] = address.link_bytes();
            let [s0, s1, s2, s3] = session;
            // A repeater sets the bit of repeated access on the way.
            let control = control & !REPEATED;
            let iv = [
                m0, m1, a0, a1, a2, a3, a4, a5, control, s0, s1, s2, s3, 0, 0, 0,
            ];
            crypt::ctr_decrypt(key.bytes(), &iv, buffer.after_mut(*at));
        }
        other => {
            return Err(RejectReason::new(
                reject::ENCRYPTION,
                format!("extended link layer is encrypted in mode {other}; known is 1, AES-CTR"),
            ));
        }
    }
    let sum: [u8; 2] = buffer.array(at)?;
    if crc(buffer.after(*at)) != u16::from_le_bytes(sum) {
        return Err(if mode == 0 {
            RejectReason::new(
                reject::CHECKSUM,
                "checksum of the extended link layer does not match",
            )
        } else {
            key_wrong("its checksum does not match after decryption")
        });
    }
    Ok(mode != 0)
}

/// CI 90h.
fn authentication(buffer: &Buffer, at: &mut usize) -> Result<Afl, RejectReason> {
    let [size] = buffer.array(at)?;
    let end = *at + usize::from(size);
    let control: [u8; 2] = buffer.array(at)?;
    let control = u16::from_le_bytes(control);
    let has = |bit: u32| control >> bit & 1 == 1;
    if has(14) || control & 0xFF > 1 {
        return Err(RejectReason::new(
            reject::FRAGMENT,
            "telegram is a fragment of a longer message; fragments are not joined, set the meter to unfragmented messages",
        ));
    }
    let mut afl = Afl {
        control: 0,
        counter: None,
        length: None,
        tag: [0; 16],
        tag_size: 0,
        message_at: end,
    };
    if has(13) {
        [afl.control] = buffer.array(at)?;
    }
    if has(9) {
        let _key: [u8; 2] = buffer.array(at)?;
    }
    if has(11) {
        afl.counter = Some(buffer.array(at)?);
    }
    if has(10) {
        afl.tag_size = match afl.control & 0x0F {
            3 => 2,
            4 => 4,
            5 => 8,
            6 => 12,
            7 => 16,
            other => {
                return Err(RejectReason::new(
                    reject::ENCRYPTION,
                    format!("telegram is authenticated by method {other}; known are 3 to 7, CMAC"),
                ));
            }
        };
        for byte in afl.tag.iter_mut().take(afl.tag_size) {
            [*byte] = buffer.array(at)?;
        }
    }
    if has(12) {
        afl.length = Some(buffer.array(at)?);
    }
    if *at != end {
        return Err(RejectReason::new(
            reject::LENGTH,
            format!("authentication layer says it has {size} bytes and does not"),
        ));
    }
    Ok(afl)
}

struct Opener<'c> {
    policy: Policy,
    context: &'c DecodeContext<'c>,
    afl: Option<Afl>,
    was_encrypted: bool,
}

impl Opener<'_> {
    /// The transport header and what it says of encryption.
    fn transport(
        &self,
        buffer: &mut Buffer,
        ci: u8,
        mut at: usize,
        link: Option<Address>,
    ) -> Result<Telegram, RejectReason> {
        let order = if ci == 0x76 {
            Order::HighFirst
        } else {
            Order::LowFirst
        };
        let address = if matches!(ci, 0x72 | 0x76) {
            Some(Address::of_header(buffer.array(&mut at)?, order))
        } else {
            link
        };
        let (device, key) = match address {
            Some(address) => {
                let (device, key) = key_of(address, self.policy, self.context);
                (Some(device), key)
            }
            None => (None, None),
        };
        let mut telegram = Telegram {
            address,
            device,
            status: 0,
            order,
            records_at: at,
        };
        if ci == 0x78 {
            self.must_be_encrypted(key)?;
            return Ok(telegram);
        }
        let [access, status, c0, c1] = buffer.array(&mut at)?;
        telegram.status = status;
        let config = u16::from_le_bytes([c0, c1]);
        let blocks = usize::from(config >> 4 & 0x0F);
        match (config >> 8 & 0x1F, address) {
            (0, _) => self.must_be_encrypted(key)?,
            // Nothing of the telegram is encrypted.
            (5, _) if blocks == 0 => self.must_be_encrypted(key)?,
            (5, Some(address)) => {
                if !self.gateway_decrypted(buffer, at) {
                    let key = found(&telegram, key, 5)?;
                    let [m0, m1, a0, a1, a2, a3, a4, a5] = address.link_bytes();
                    let n = access;
                    let iv = [m0, m1, a0, a1, a2, a3, a4, a5, n, n, n, n, n, n, n, n];
                    crypt::cbc_decrypt(key.bytes(), &iv, encrypted(buffer, at, blocks)?);
                    check_plain(buffer, at)?;
                }
            }
            (7, Some(address)) => {
                let [extension] = buffer.array(&mut at)?;
                if !self.gateway_decrypted(buffer, at) {
                    let key = found(&telegram, key, 7)?;
                    self.dynamic(buffer, at, key, address, blocks, extension)?;
                }
            }
            (5 | 7, None) => return Err(nameless()),
            (other, _) => {
                return Err(RejectReason::new(
                    reject::ENCRYPTION,
                    format!(
                        "telegram is encrypted in mode {other}; known are 5 and 7 (OMS security profiles A and B)"
                    ),
                ));
            }
        }
        telegram.records_at = at;
        Ok(telegram)
    }

    /// Mode 7: the key of this message, the authentication code, the text.
    fn dynamic(
        &self,
        buffer: &mut Buffer,
        at: usize,
        key: &DeviceKey,
        address: Address,
        blocks: usize,
        extension: u8,
    ) -> Result<(), RejectReason> {
        if extension >> 4 & 3 != 1 {
            return Err(RejectReason::new(
                reject::ENCRYPTION,
                "key derivation of the telegram is not function A, the only one known",
            ));
        }
        let Some((afl, counter)) = self.afl.and_then(|afl| afl.counter.map(|c| (afl, c))) else {
            return Err(RejectReason::new(
                reject::ENCRYPTION,
                "telegram is encrypted in mode 7 without the message counter its key is derived from (AFL)",
            ));
        };
        let id = address.id_bytes();
        if afl.tag_size > 0 {
            let own = crypt::derive(key.bytes(), Purpose::Authentication, counter, id);
            let length = afl.length.as_ref().map_or(&[][..], |length| &length[..]);
            let parts = [
                &[afl.control][..],
                &counter[..],
                length,
                buffer.after(afl.message_at),
            ];
            let tag = afl.tag.get(..afl.tag_size).unwrap_or_default();
            if !crypt::is_authentic(&own, &parts, tag) {
                return Err(key_wrong("its authentication code does not match"));
            }
        }
        let own = crypt::derive(key.bytes(), Purpose::Encryption, counter, id);
        crypt::cbc_decrypt(&own, &[0; BLOCK], encrypted(buffer, at, blocks)?);
        if blocks > 0 {
            check_plain(buffer, at)?;
        }
        Ok(())
    }

    fn gateway_decrypted(&self, buffer: &Buffer, at: usize) -> bool {
        self.policy.is_decrypted && check_plain(buffer, at).is_ok()
    }

    /// A meter that has a key does not send plain telegrams: somebody else could.
    fn must_be_encrypted(&self, key: Option<&DeviceKey>) -> Result<(), RejectReason> {
        if key.is_some() && !self.was_encrypted && !self.policy.is_decrypted {
            return Err(RejectReason::new(
                reject::NOT_ENCRYPTED,
                "telegram is not encrypted although the meter has a key; anyone could have sent it; \
                 remove the key if the meter does not encrypt, or write decrypted = true if the gateway decrypts",
            ));
        }
        Ok(())
    }
}

fn found<'k>(
    telegram: &Telegram,
    key: Option<&'k DeviceKey>,
    mode: u8,
) -> Result<&'k DeviceKey, RejectReason> {
    key.ok_or_else(|| match &telegram.device {
        Some(device) => key_missing(device, &format!("telegram (mode {mode})")),
        None => nameless(),
    })
}

fn key_of<'k>(
    address: Address,
    policy: Policy,
    context: &DecodeContext<'k>,
) -> (DeviceId, Option<&'k DeviceKey>) {
    let device = address.device(policy.form);
    let key = context.key(&device);
    (device, key)
}

fn encrypted(buffer: &mut Buffer, at: usize, blocks: usize) -> Result<&mut [u8], RejectReason> {
    let size = blocks * BLOCK;
    buffer.after_mut(at).get_mut(..size).ok_or_else(|| {
        RejectReason::new(
            reject::LENGTH,
            format!(
                "telegram says that {blocks} blocks of {BLOCK} bytes are encrypted, and is shorter"
            ),
        )
    })
}

/// Decrypted text begins with two fillers.
fn check_plain(buffer: &Buffer, at: usize) -> Result<(), RejectReason> {
    if buffer.after(at).starts_with(&[FILLER; 2]) {
        Ok(())
    } else {
        Err(key_wrong("decrypted it does not begin with 2F 2F"))
    }
}

fn key_wrong(why: &str) -> RejectReason {
    RejectReason::new(
        reject::KEY_WRONG,
        format!("telegram is encrypted with another key: {why}; correct the meter's key"),
    )
}

fn key_missing(device: &DeviceId, what: &str) -> RejectReason {
    RejectReason::new(
        reject::KEY_MISSING,
        format!(
            "{what} is encrypted and there is no key of device `{device}`; add its AES-128 key"
        ),
    )
}

fn nameless() -> RejectReason {
    RejectReason::new(
        reject::ENCRYPTION,
        "telegram is encrypted but names no meter, whose number the decryption needs",
    )
}
