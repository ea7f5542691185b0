//! Identifiers: cheap to clone, never mixed up.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// From any text.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }
    };
}

id!(
    /// A gas meter or volume corrector as the registry knows it (表号).
    MeterId
);
id!(
    /// A device as it names itself on the wire: the `dev` of a JSON push, the address of a frame.
    DeviceId
);
id!(
    /// A device profile, `<vendor>/<model>`.
    ProfileId
);
id!(
    /// A Modbus gateway.
    GatewayId
);
id!(
    /// A customer's account number (户号).
    CustomerId
);
id!(
    /// A supply zone behind one city gate (供气区域).
    ZoneId
);
id!(
    /// A gas source (气源).
    SourceId
);
id!(
    /// A supply contract (供气合同编号).
    ContractId
);
id!(
    /// A forecast run.
    RunId
);
