//! Stable codes: metric labels, the API's `code`, keys of the Chinese sentences.

macro_rules! codes {
    ($(#[$list:meta])* $all:ident: $($(#[$doc:meta])* $name:ident = $text:literal),+ $(,)?) => {
        $($(#[$doc])* pub const $name: &str = $text;)+
        $(#[$list])*
        pub const $all: &[&str] = &[$($name),+];
    };
}

/// Why a frame was not taken.
pub mod reject {
    codes! {
        /// Every code of a rejected frame.
        ALL:
        /// The frame ends early.
        TRUNCATED = "decode.truncated",
        /// The frame is larger than the profile allows.
        TOO_LONG = "decode.too_long",
        /// Bytes follow the end of the frame.
        TRAILING = "decode.trailing_bytes",
        /// The first byte is not the start of a frame.
        START_BYTE = "decode.start_byte",
        /// The frame is of another kind of meter.
        METER_TYPE = "decode.meter_type",
        /// The frame is not the reply this profile reads.
        CONTROL = "decode.control_code",
        /// The device answered that it could not.
        DEVICE_ERROR = "decode.device_error",
        /// The length byte does not fit the layout.
        LENGTH = "decode.length",
        /// The data identifier is another one.
        DATA_ID = "decode.data_id",
        /// The checksum does not match.
        CHECKSUM = "decode.checksum",
        /// The last byte is not the end of a frame.
        END_BYTE = "decode.end_byte",
        /// A nibble is no decimal digit.
        BCD = "decode.bcd",
        /// The frame counts in another unit.
        UNIT_BYTE = "decode.unit_byte",
        /// The text is no hexadecimal.
        HEX = "decode.hex",
        /// The text is no base64.
        BASE64 = "decode.base64",
        /// The text is no JSON.
        JSON = "decode.json_syntax",
        /// The JSON or CBOR is nested deeper than the profile allows.
        DEPTH = "decode.json_depth",
        /// The bytes are no CBOR.
        CBOR = "decode.cbor_syntax",
        /// No kind of message of the profile fits.
        MESSAGE = "decode.message_kind",
        /// The message holds no value at all.
        EMPTY = "decode.message_empty",
        /// The device's name cannot be one.
        DEVICE = "decode.device_name",
        /// Frame and envelope name two devices.
        DEVICE_CONFLICT = "decode.device_conflict",
        /// A time is missing or is none.
        TIME = "decode.time",
        /// A required field is missing.
        MISSING = "decode.field_missing",
        /// A field is of another type.
        TYPE = "decode.field_type",
        /// A total that cannot be kept exactly.
        INEXACT = "decode.total_inexact",
        /// A value that cannot be.
        RANGE = "decode.value_range",
        /// A state the profile does not list.
        STATE = "decode.state_unknown",
        /// A frozen array of another length.
        ARRAY = "decode.array_length",
        /// The bytes are no register snapshot.
        SNAPSHOT = "decode.snapshot",
        /// Registers of the profile are not in the snapshot.
        REGISTERS = "decode.registers_missing",
        /// The application layer is one the codec does not read.
        CI = "decode.ci_field",
        /// A data record cannot be read.
        RECORD = "decode.mbus_record",
        /// Two records fit one field.
        AMBIGUOUS = "decode.field_ambiguous",
        /// A fragment of a longer message.
        FRAGMENT = "decode.fragment",
        /// The frame is encrypted in a way that is not known, or names no meter.
        ENCRYPTION = "decode.encryption",
        /// The frame is encrypted and there is no key of its device.
        KEY_MISSING = "decode.key_missing",
        /// The frame is encrypted with another key.
        KEY_WRONG = "decode.key_wrong",
        /// The frame is not encrypted although its device has a key.
        NOT_ENCRYPTED = "decode.not_encrypted",
        /// A line of the telegram is no object, or is there twice.
        TELEGRAM = "decode.telegram",
        /// The framing around the message does not hold.
        FRAMING = "decode.framing",
        /// The message is none this profile reads.
        APDU = "decode.apdu",
        /// The data is not encoded as it must be.
        ENCODING = "decode.encoding",
        /// A frame that is not protected as the profile demands, or does not come from the device.
        SECURITY = "decode.security",
        /// The device starts its gas day at another hour.
        GAS_DAY = "decode.gas_day",
        /// No such profile is loaded.
        PROFILE = "decode.profile_unknown",
    }
}

/// What is wrong with a profile.
pub mod problem {
    codes! {
        /// Every code of a problem in a profile.
        ALL:
        /// The folder or a file cannot be read.
        UNREADABLE = "decode.profile_unreadable",
        /// The file is not where its id says.
        PLACE = "decode.profile_place",
        /// Two files have one id.
        DUPLICATE = "decode.profile_duplicate",
        /// The file is no TOML.
        SYNTAX = "decode.profile_syntax",
        /// A key the format does not have.
        KEY = "decode.profile_unknown_key",
        /// A key is missing, or its value is of another type.
        VALUE = "decode.profile_value",
        /// A field's name is none of the program's.
        FIELD_NAME = "decode.profile_field_name",
        /// A field's unit is missing or wrong.
        FIELD_UNIT = "decode.profile_field_unit",
        /// A field is described wrongly.
        FIELD = "decode.profile_field",
        /// The places of a binary layout are described wrongly.
        LAYOUT = "decode.profile_layout",
        /// Registers are described wrongly.
        REGISTERS = "decode.profile_registers",
        /// The profile has no test vector.
        NO_VECTOR = "decode.profile_no_vector",
        /// A test vector is described wrongly.
        VECTOR_SYNTAX = "decode.profile_vector_syntax",
        /// A test vector fails.
        VECTOR = "decode.profile_vector",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_named_after_their_stage() {
        let all: Vec<_> = super::reject::ALL
            .iter()
            .chain(super::problem::ALL)
            .collect();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|code| code.starts_with("decode.")));
    }
}
