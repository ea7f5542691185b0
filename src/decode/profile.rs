//! Device profiles (设备档案): what a model of meter says, and how.

use std::path::Path;

use chrono::Datelike as _;
use serde::Deserialize;
use toml::de::DeTable;

use crate::decode::cbor::{self, CborCodec};
use crate::decode::cjt188::{self, Cjt188Codec};
use crate::decode::code::{problem, reject};
use crate::decode::context::DecodeContext;
use crate::decode::dlms::{self, DlmsCodec};
use crate::decode::dlt645::{self, Dlt645Codec};
use crate::decode::dsmr::{self, DsmrCodec};
use crate::decode::envelope::{self, Envelope};
use crate::decode::file::{FileReader, RawTest};
use crate::decode::json::{self, JsonCodec};
use crate::decode::layout::{self, LayoutCodec};
use crate::decode::mbus::{self, MbusCodec};
use crate::decode::registers::{self, ModbusCodec, ModbusQuirks};
use crate::decode::snapshot::RegisterBlock;
use crate::decode::vector::{self, Vector};
use crate::decode::wmbus::{self, WmbusCodec};
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
    /// A CBOR map.
    Cbor,
    /// Bytes at places the profile states.
    Layout,
    /// A CJ/T 188 reply.
    Cjt188,
    /// A Modbus register snapshot.
    Modbus,
    /// Frames of a wired M-Bus readout.
    Mbus,
    /// A telegram of wireless M-Bus.
    Wmbus,
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
    Cbor(CborCodec),
    Layout(LayoutCodec),
    Cjt188(Cjt188Codec),
    Modbus(Box<ModbusCodec>),
    Mbus(MbusCodec),
    Wmbus(WmbusCodec),
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
    /// How frames are carried; none where they come as they are.
    envelope: Option<Envelope>,
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

    /// Reads a profile file's text without running its vectors: for drafting only.
    ///
    /// # Errors
    /// As [`DeviceProfile::parse`], but for vectors that fail.
    pub(super) fn parse_unproven(file: &Path, text: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = FileReader::new(file, text);
        match read(&mut reader) {
            Some(profile) if reader.is_clean() => Ok(profile),
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
            Codec::Cbor(_) => CodecKind::Cbor,
            Codec::Layout(_) => CodecKind::Layout,
            Codec::Cjt188(_) => CodecKind::Cjt188,
            Codec::Modbus(_) => CodecKind::Modbus,
            Codec::Mbus(_) => CodecKind::Mbus,
            Codec::Wmbus(_) => CodecKind::Wmbus,
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
        let decoded = match &self.envelope {
            Some(envelope) => {
                let opened = envelope.open(bytes)?;
                let inner = opened.context(context);
                let decoded = self.codec.decode(&opened.bytes, &inner, opened.port)?;
                envelope.merge(opened, decoded)?
            }
            None => self.codec.decode(bytes, context, None)?,
        };
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

impl Codec {
    /// Decodes a frame that is out of its envelope; `port` is the one a network server told.
    fn decode(
        &self,
        bytes: &[u8],
        context: &DecodeContext<'_>,
        port: Option<u64>,
    ) -> Result<Decoded, RejectReason> {
        match self {
            Self::Json(codec) => codec.decode(bytes),
            Self::Cbor(codec) => codec.decode(bytes),
            Self::Layout(codec) => codec.decode(bytes, context.received_at, port),
            Self::Cjt188(codec) => codec.decode(bytes, context),
            Self::Modbus(codec) => codec.decode(bytes, context.received_at),
            Self::Mbus(codec) => codec.decode(bytes, context),
            Self::Wmbus(codec) => codec.decode(bytes, context),
            Self::Dsmr(codec) => codec.decode(bytes),
            Self::Dlms(codec) => codec.decode(bytes, context),
            Self::Dlt645(codec) => codec.decode(bytes, context),
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
        "add codec = \"json\", \"cbor\", \"layout\", \"cjt188\", \"dlt645\", \"dsmr\", \"dlms\", \"mbus\", \"wmbus\" or \"modbus\"",
    );
    let tests = reader.all::<RawTest>(&mut table, "test");
    if let Some(id) = &id {
        check_id(reader, id);
    }
    let envelope_span = table.get("envelope").map(toml::Spanned::span);
    let envelope = envelope::compile(reader, &mut table);
    let (codec, known) = compile(reader, &mut table, kind?);
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
    if let (Some(span), Some(CodecKind::Modbus)) = (envelope_span, kind) {
        reader.problem(
            Some(span),
            problem::KEY,
            "registers that are polled come in no envelope",
            "remove [envelope]",
        );
    }
    let envelope = envelope?;
    let takes_json = kind? == CodecKind::Json || envelope.as_ref().is_some_and(Envelope::is_json);
    let vectors = vector::compile(reader, kind?, takes_json, tests);
    Some(DeviceProfile {
        id: ProfileId::new(id?.into_inner()),
        verified: verified?,
        description: description?,
        transport: transport?.into_inner(),
        envelope,
        codec: codec?,
        vectors,
    })
}

/// Reads what is the codec's own; and which tables a profile with that codec may have.
fn compile<'t>(
    reader: &mut FileReader<'t>,
    table: &mut DeTable<'t>,
    kind: CodecKind,
) -> (Option<Codec>, &'static str) {
    match kind {
        CodecKind::Json => (
            json::compile(reader, table).map(Codec::Json),
            "[envelope], [json], [[message]] and [[test]]",
        ),
        CodecKind::Cbor => (
            cbor::compile(reader, table).map(Codec::Cbor),
            "[envelope], [cbor], [[message]] and [[test]]",
        ),
        CodecKind::Layout => (
            layout::compile(reader, table).map(Codec::Layout),
            "[envelope], [layout], [[message]] and [[test]]",
        ),
        CodecKind::Cjt188 => (
            cjt188::compile(reader, table).map(Codec::Cjt188),
            "[envelope], [cjt188], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Modbus => (
            registers::compile(reader, table).map(|codec| Codec::Modbus(Box::new(codec))),
            "[modbus], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Mbus => (
            mbus::compile(reader, table).map(Codec::Mbus),
            "[envelope], [mbus], [[field]], [[frozen]], [[alarm]] and [[test]]",
        ),
        CodecKind::Wmbus => (
            wmbus::compile(reader, table).map(Codec::Wmbus),
            "[envelope], [wmbus], [mbus], [[field]], [[frozen]], [[alarm]] and [[test]]",
        ),
        CodecKind::Dsmr => (
            dsmr::compile(reader, table).map(Codec::Dsmr),
            "[envelope], [dsmr], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Dlms => (
            dlms::compile(reader, table).map(Codec::Dlms),
            "[envelope], [dlms], [[field]], [[alarm]] and [[test]]",
        ),
        CodecKind::Dlt645 => (
            dlt645::compile(reader, table).map(Codec::Dlt645),
            "[envelope], [dlt645], [cjt188], [[field]], [[alarm]] and [[test]]",
        ),
    }
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
