//! The messages a meter sends without being asked.
//!
//! # Source
//! IEC 62056-5-3, 9.5: data-notification (tag 15), event-notification-request (tag 194).

use crate::decode::code::reject;
use crate::decode::dlms::axdr::{Data, Reader};
use crate::decode::dlms::obis::Obis;
use crate::decode::dlms::object::Attribute;
use crate::domain::frame::RejectReason;

const DATA_NOTIFICATION: u8 = 0x0F;
const EVENT_NOTIFICATION: u8 = 0xC2;
/// general-glo-ciphering.
pub(super) const GENERAL_GLO: u8 = 0xDB;
const DATE_TIME_LEN: usize = 12;

/// A message.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// When the meter says it sent it.
    pub(super) sent: Option<[u8; 12]>,
    pub(super) body: Body<'a>,
}

/// What a message says.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// Of many objects, laid out as the profile knows.
    Push(Data<'a>),
    /// Of one attribute.
    Event(Attribute, Data<'a>),
}

impl<'a> Message<'a> {
    /// Reads a plain APDU.
    pub(super) fn parse(apdu: &'a [u8]) -> Result<Self, RejectReason> {
        let mut reader = Reader::new(apdu);
        let tag = reader.byte()?;
        let message = match tag {
            DATA_NOTIFICATION => {
                // long-invoke-id-and-priority
                reader.array::<4>()?;
                let sent = match reader.length()? {
                    0 => None,
                    DATE_TIME_LEN => Some(reader.array()?),
                    // Some meters write the tag of an octet string, which does not belong here.
                    9 if reader.rest().first() == Some(&0x0C) => {
                        reader.byte()?;
                        Some(reader.array()?)
                    }
                    length => {
                        return Err(RejectReason::new(
                            reject::TIME,
                            format!("message has a date-time of {length} bytes; one has 12"),
                        ));
                    }
                };
                Self {
                    sent,
                    body: Body::Push(reader.data()?),
                }
            }
            EVENT_NOTIFICATION => {
                let sent = match reader.byte()? {
                    0 => None,
                    _ => match reader.length()? {
                        DATE_TIME_LEN => Some(reader.array()?),
                        length => {
                            return Err(RejectReason::new(
                                reject::TIME,
                                format!("event has a date-time of {length} bytes; one has 12"),
                            ));
                        }
                    },
                };
                let _class: [u8; 2] = reader.array()?;
                let attribute = Attribute {
                    code: Obis(reader.array()?),
                    number: reader.byte()?,
                };
                Self {
                    sent,
                    body: Body::Event(attribute, reader.data()?),
                }
            }
            other => return Err(unknown(other)),
        };
        match reader.rest().len() {
            0 => Ok(message),
            count => Err(RejectReason::new(
                reject::TRAILING,
                format!("{count} bytes follow the message"),
            )),
        }
    }
}

fn unknown(tag: u8) -> RejectReason {
    let (code, what) = match tag {
        0xE0 => (
            reject::FRAGMENT,
            "a block of a longer message (general-block-transfer); let the gateway put the blocks together",
        ),
        GENERAL_GLO => (reject::SECURITY, "ciphered within a ciphered message"),
        0xDC => (reject::SECURITY, "ciphered with a dedicated key"),
        0xDD => (reject::SECURITY, "of general-ciphering, which is not read"),
        0xDF => (
            reject::SECURITY,
            "signed (general-signing), which is not read",
        ),
        0xC4..=0xC7 => (
            reject::APDU,
            "an answer to a request; a push is a data-notification",
        ),
        _ => (reject::APDU, "no message a meter sends by itself"),
    };
    RejectReason::new(code, format!("message {tag:02X}h is {what}"))
}
