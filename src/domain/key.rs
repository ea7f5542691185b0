//! Keys of devices whose frames are encrypted: one AES-128 key a device, from a file of secrets.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::id::DeviceId;

/// An AES-128 key. It is never shown: `Debug` says only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct DeviceKey([u8; 16]);

impl DeviceKey {
    /// From its bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// From 32 hexadecimal digits; none for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 16];
        hex::decode_to_slice(text.trim(), &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Its bytes, for a cipher.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey(..)")
    }
}

/// The keys of all devices that have one.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct KeyRing(BTreeMap<DeviceId, DeviceKey>);

impl KeyRing {
    /// A ring without keys.
    pub const EMPTY: &'static Self = &Self(BTreeMap::new());

    /// The key of a device.
    pub fn get(&self, device: &DeviceId) -> Option<&DeviceKey> {
        self.0.get(device)
    }

    /// Adds a key; gives back the one it replaces.
    pub fn insert(&mut self, device: DeviceId, key: DeviceKey) -> Option<DeviceKey> {
        self.0.insert(device, key)
    }

    /// How many devices have one.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({})", self.0.len())
    }
}
