//! Device profiles (设备档案): what a model of meter says, and how.

use std::path::Path;

use chrono::Datelike as _;
use serde::Deserialize;

use crate::decode::cjt188::{self, Cjt188Codec};
use crate::decode::code::{problem, reject};
use crate::decode::context::DecodeContext;
use crate::decode::dlms::{self, DlmsCodec};
use crate::decode::dlt645::{self, Dlt645Codec};
use crate::decode::dsmr::{self, DsmrCodec};
use crate::decode::file::{FileReader, RawTest};
use crate::decode::json::{self, JsonCodec};
use crate::decode::registers::{self, ModbusCodec, ModbusQuirks};
use crate::decode::snapshot::RegisterBlock;
use crate::decode::vector::{self, Vector};
use crate::domain::frame::RejectReason;
use crate::domain::id::ProfileId;
use crate::domain::problem::Problem;
use crate::domain::reading::Decoded;

/// Years an instant may be of. A device can write any number; near the ends of the calendar
/// civil arithmetic would overflow further on.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9998;

/// How meters of a profile are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileTransport {
    /// They publish over MQTT.
    Mqtt,
    /// We poll them over Modbus.
    Modbus,
}

/// How the bytes of a frame are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodecKind {
    /// A JSON object.
    Json,
    /// A CJ/T 188 reply.
    Cjt188,
    /// A Modbus register snapshot.
    Modbus,
    /// A P1 telegram.
    Dsmr,
    /// A DLMS/COSEM push.
    Dlms,
    /// A DL/T 645-2007 reply.
    Dlt645,
}

#[derive(Debug, Clone, PartialEq)]
enum Codec {
    Json(JsonCodec),
    Cjt188(Cjt188Codec),
    Modbus(ModbusCodec),
    Dsmr(DsmrCodec),
    Dlms(DlmsCodec),
    Dlt645(Dlt645Codec),
}

/// A device profile that passed its own test vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceProfile {
    id: ProfileId,
    verified: bool,
    description: String,
    transport: ProfileTransport,
    codec: Codec,
    vectors: Vec<Vector>,
}

impl DeviceProfile {
    /// Reads a profile file's text and runs its vectors.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = FileReader::new(file, text);
        let profile = read(&mut reader);
        match profile {
            Some(profile) if reader.is_clean() => {
                vector::check(&mut reader, &profile);
                if reader.is_clean() {
                    Ok(profile)
                } else {
                    Err(reader.into_problems())
                }
            }
            _ => Err(reader.into_problems()),
        }
    }

    /// `<vendor>/<model>`.
    pub fn id(&self) -> &ProfileId {
        &self.id
    }

    /// Whether its vectors come from a real device or a published example.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    /// What it is for.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// How its meters are reached.
    pub fn transport(&self) -> ProfileTransport {
        self.transport
    }

    /// How its frames are laid out.
    pub fn codec(&self) -> CodecKind {
        match self.codec {
            Codec::Json(_) => CodecKind::Json,
            Codec::Cjt188(_) => CodecKind::Cjt188,
            Codec::Modbus(_) => CodecKind::Modbus,
            Codec::Dsmr(_) => CodecKind::Dsmr,
            Codec::Dlms(_) => CodecKind::Dlms,
            Codec::Dlt645(_) => CodecKind::Dlt645,
        }
    }

    /// Its test vectors.
    pub fn vectors(&self) -> &[Vector] {
        &self.vectors
    }

    /// Decodes a frame's bytes. The time of arrival becomes the sampling time only where the device
    /// tells none (Modbus without clock registers).
    ///
    /// # Errors
    /// Why the frame cannot be taken; never a panic, whatever the bytes.
    pub fn decode(
        &self,
        bytes: &[u8],
        context: &DecodeContext<'_>,
    ) -> Result<Decoded, RejectReason> {
        let decoded = match &self.codec {
            Codec::Json(codec) => codec.decode(bytes),
            Codec::Cjt188(codec) => codec.decode(bytes, context),
            Codec::Modbus(codec) => codec.decode(bytes, context.received_at),
            Codec::Dsmr(codec) => codec.decode(bytes),
            Codec::Dlms(codec) => codec.decode(bytes, context),
            Codec::Dlt645(codec) => codec.decode(bytes, context),
        }?;
        let frozen_at = decoded.frozen.iter().map(|f| f.first_at);
        if std::iter::once(decoded.sampled_at)
            .chain(decoded.clock_at)
            .chain(frozen_at)
            .all(|at| YEARS.contains(&at.year()))
        {
            Ok(decoded)
        } else {
            Err(RejectReason::new(
                reject::TIME,
                format!(
                    "time is not of the years {} to {}",
                    YEARS.start(),
                    YEARS.end()
                ),
            ))
        }
    }

    /// The register blocks a poll reads, in order; empty where there is nothing to poll.
    pub fn register_blocks(&self) -> &[RegisterBlock] {
        match &self.codec {
            Codec::Modbus(codec) => &codec.blocks,
            _ => &[],
        }
    }

    /// What a poller must know beyond the registers; none where there is nothing to poll.
    pub fn modbus_quirks(&self) -> Option<&ModbusQuirks> {
        match &self.codec {
            Codec::Modbus(codec) => Some(&codec.quirks),
            _ => None,
        }
    }
}

fn read(reader: &mut FileReader<'_>) -> Option<DeviceProfile> {
    let mut table = reader.document();
    if !reader.is_clean() {
        return None;
    }
    let id: Option<toml::Spanned<String>> =
        reader.required(&mut table, "id", "add id = \"<vendor>/<model>\"");
    let verified: Option<bool> = reader.required(
        &mut table,
        "verified",
        "add verified = true if the vectors come from a real device or a published example, else false",
    );
    let description: Option<String> = reader.required(
        &mut table,
        "description",
        "say which model and firmware it is for",
    );
    let transport: Option<toml::Spanned<ProfileTransport>> = reader.required(
        &mut table,
        "transport",
        "add transport = \"mqtt\" or \"modbus\"",
    );
    let kind: Option<CodecKind> = reader.required(
        &mut table,
        "codec",
        "add codec = \"json\", \"cjt188\", \"dlt645\", \"dsmr\", \"dlms\" or \"modbus\"",
    );
    let tests = reader.all::<RawTest>(&mut table, "test");
    if let Some(id) = &id {
        check_id(reader, id);
    }
    let (codec, known) = match kind? {
        CodecKind::Json => (
            json::compile(reader, &mut table).map(Codec::Json),
            "[json], [[message]] and [[test]]",
        ),
        CodecKind::Cjt188 => (
            cjt188::compile(reader, &mut table).map(Codec::Cjt188),
            "[cjt188], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Modbus => (
            registers::compile(reader, &mut table).map(Codec::Modbus),
            "[modbus], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Dsmr => (
            dsmr::compile(reader, &mut table).map(Codec::Dsmr),
            "[dsmr], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Dlms => (
            dlms::compile(reader, &mut table).map(Codec::Dlms),
            "[dlms], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Dlt645 => (
            dlt645::compile(reader, &mut table).map(Codec::Dlt645),
            "[dlt645], [cjt188], [[field]], [[alarm]] and [[test]]",
        ),
    };
    reader.no_more(&table, known);
    if let (Some(transport), Some(kind)) = (&transport, kind) {
        let is_polled = *transport.get_ref() == ProfileTransport::Modbus;
        if is_polled != (kind == CodecKind::Modbus) {
            reader.problem(
                Some(transport.span()),
                problem::VALUE,
                "transport and codec do not go together",
                "codec modbus goes with transport modbus, the others with mqtt",
            );
        }
    }
    let vectors = vector::compile(reader, kind?, tests);
    Some(DeviceProfile {
        id: ProfileId::new(id?.into_inner()),
        verified: verified?,
        description: description?,
        transport: transport?.into_inner(),
        codec: codec?,
        vectors,
    })
}

fn check_id(reader: &mut FileReader<'_>, id: &toml::Spanned<String>) {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let is_good = id
        .get_ref()
        .split_once('/')
        .is_some_and(|(vendor, model)| is_part(vendor) && is_part(model));
    if !is_good {
        reader.problem(
            Some(id.span()),
            problem::PLACE,
            format!("id `{}` is not <vendor>/<model>", id.get_ref()),
            "write lower-case letters, digits and hyphens around one slash",
        );
    }
}
