//! What someone may speak for.

use std::fmt;

use crate::domain::id::{DeviceId, GatewayId};

/// The words that begin a right.
const MARKS: [&str; 3] = [":devices=", ":topics=", ":gateways="];

/// Devices by name, or all whose names begin with something.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Exactly(String),
    Beginning(String),
}

impl Pattern {
    fn is_match(&self, device: &str) -> bool {
        match self {
            Self::Exactly(name) => name == device,
            Self::Beginning(start) => device.starts_with(start),
        }
    }
}

/// For which devices someone may speak: without a word, for the device of the own name alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    devices: Vec<Pattern>,
    topics: Vec<Vec<String>>,
    gateways: Vec<GatewayId>,
}

/// Why someone may not speak there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// The device is not among the own ones.
    Device(DeviceId),
    /// The topic is not among the own ones.
    Topic,
    /// The topic does not say which device speaks, and there are several it could be.
    NoDevice,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(device) => write!(
                f,
                "it may not speak for device `{device}`; if it should, add the device to `devices=` of its line"
            ),
            Self::Topic => f.write_str(
                "the topic is outside its `topics=`; if it belongs to it, add it to its line",
            ),
            Self::NoDevice => f.write_str(
                "the topic names no device; add a [[mqtt.topic]] template with {device}, or `devices=` with one device to its line",
            ),
        }
    }
}

impl Rights {
    /// The rights of whoever needs none: this machine's own operator.
    pub fn all() -> Self {
        Self {
            devices: vec![Pattern::Beginning(String::new())],
            ..Self::default()
        }
    }

    /// Splits a line into what comes before its rights, and the rights.
    pub(super) fn split(line: &str) -> (&str, &str) {
        let at = MARKS.iter().filter_map(|mark| line.find(mark)).min();
        at.and_then(|at| line.split_at_checked(at))
            .unwrap_or((line, ""))
    }

    /// Reads `:devices=A,B-*:topics=gas/x/#`; `name` is whose they are.
    pub(super) fn parse(name: &str, mut text: &str) -> Result<Self, &'static str> {
        let mut rights = Self::default();
        while !text.is_empty() {
            let mark = MARKS
                .into_iter()
                .find(|mark| text.starts_with(mark))
                .ok_or("has something after its secret that is none of :devices=, :topics=, :gateways=")?;
            let rest = text.strip_prefix(mark).unwrap_or_default();
            let (values, next) = Self::split(rest);
            text = next;
            for value in values.split(',').map(str::trim) {
                if value.is_empty() {
                    return Err("has an empty name in devices=, topics= or gateways=");
                }
                match mark {
                    ":devices=" => rights.devices.push(match value.strip_suffix('*') {
                        Some(start) => Pattern::Beginning(start.to_owned()),
                        None => Pattern::Exactly(value.to_owned()),
                    }),
                    ":topics=" => rights.topics.push(topic_filter(value)?),
                    _ => rights.gateways.push(GatewayId::from(value)),
                }
            }
        }
        if rights == Self::default() {
            rights.devices.push(Pattern::Exactly(name.to_owned()));
        }
        Ok(rights)
    }

    pub(super) fn has_topics(&self) -> bool {
        !self.topics.is_empty()
    }

    pub(super) fn has_gateways(&self) -> bool {
        !self.gateways.is_empty()
    }

    /// Whether these are rights over every device.
    pub fn is_all(&self) -> bool {
        self.topics.is_empty()
            && self
                .devices
                .iter()
                .any(|pattern| matches!(pattern, Pattern::Beginning(start) if start.is_empty()))
    }

    /// Whether it may speak for a device that sits behind a gateway, or behind none.
    pub fn may_speak_for(&self, device: &DeviceId, gateway: Option<&GatewayId>) -> bool {
        self.devices.iter().any(|p| p.is_match(device.as_str()))
            || gateway.is_some_and(|gateway| self.gateways.contains(gateway))
    }

    /// The device of a message on a topic that names `named`, if it may speak there. None only for
    /// whoever may speak for all: then the payload names it.
    ///
    /// # Errors
    /// Why not.
    pub fn device_on(
        &self,
        topic: &str,
        named: Option<DeviceId>,
    ) -> Result<Option<DeviceId>, Denied> {
        let is_own_topic =
            self.topics.is_empty() || self.topics.iter().any(|filter| matches(filter, topic));
        if !is_own_topic {
            return Err(Denied::Topic);
        }
        match named {
            // Topics alone bind to whatever device they name.
            Some(device) if self.devices.is_empty() && self.has_topics() => Ok(Some(device)),
            Some(device) if self.may_speak_for(&device, None) => Ok(Some(device)),
            Some(device) => Err(Denied::Device(device)),
            None if self.is_all() => Ok(None),
            None => match self.devices.as_slice() {
                [Pattern::Exactly(only)] => Ok(Some(DeviceId::from(only.as_str()))),
                _ => Err(Denied::NoDevice),
            },
        }
    }
}

fn topic_filter(text: &str) -> Result<Vec<String>, &'static str> {
    let levels: Vec<String> = text.split('/').map(str::to_owned).collect();
    let last = levels.len() - 1;
    let is_sound = levels.iter().enumerate().all(|(index, level)| {
        let is_wild = level == "+" || (level == "#" && index == last);
        is_wild || !level.contains(['+', '#'])
    });
    if is_sound {
        Ok(levels)
    } else {
        Err("has a topic where + or # is not a level of its own (# only at the end)")
    }
}

fn matches(filter: &[String], topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(text: &str) -> Rights {
        Rights::parse("TX-1", text).unwrap()
    }

    fn on(rights: &Rights, topic: &str, named: Option<&str>) -> Result<Option<String>, Denied> {
        rights
            .device_on(topic, named.map(DeviceId::from))
            .map(|device| device.map(|d| d.to_string()))
    }

    #[test]
    fn without_a_word_it_is_the_device_of_the_own_name_alone() {
        let own = rights("");
        assert_eq!(on(&own, "a/TX-1", Some("TX-1")), Ok(Some("TX-1".into())));
        assert_eq!(
            on(&own, "a/TX-2", Some("TX-2")),
            Err(Denied::Device(DeviceId::from("TX-2")))
        );
        // The topic says nothing: the message counts as the own device's, and a payload that
        // names another one is refused further on.
        assert_eq!(on(&own, "a/b", None), Ok(Some("TX-1".into())));
    }

    #[test]
    fn devices_are_names_or_beginnings_of_names() {
        let some = rights(":devices=TX-1, AA:BB,GW7-*");
        for good in ["TX-1", "AA:BB", "GW7-", "GW7-12"] {
            assert!(on(&some, "t", Some(good)).is_ok(), "{good}");
        }
        for bad in ["TX-10", "TX", "GW8-1", ""] {
            assert!(on(&some, "t", Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(on(&some, "t", None), Err(Denied::NoDevice));
        assert!(rights(":devices=*").is_all());
        assert_eq!(on(&rights(":devices=*"), "t", None), Ok(None));
        assert!(!some.is_all() && Rights::all().is_all());
    }

    #[test]
    fn topics_bind_to_the_device_they_name() {
        let gateway = rights(":topics=gas/xy/gw1/#,own/+/up");
        for topic in ["gas/xy/gw1/D/up/reading", "gas/xy/gw1", "own/x/up"] {
            assert!(on(&gateway, topic, Some("D")).is_ok(), "{topic}");
        }
        for topic in ["gas/xy/gw2/D/up/reading", "own/x/y/up", "own/up", ""] {
            assert_eq!(
                on(&gateway, topic, Some("D")),
                Err(Denied::Topic),
                "{topic}"
            );
        }
        assert_eq!(on(&gateway, "own/x/up", None), Err(Denied::NoDevice));
        let both = rights(":topics=gas/#:devices=A");
        assert!(on(&both, "gas/1", Some("A")).is_ok());
        assert!(on(&both, "gas/1", Some("B")).is_err());
        assert!(on(&both, "air/1", Some("A")).is_err());
        // All devices, but only there.
        assert!(!rights(":topics=gas/#:devices=*").is_all());
    }

    #[test]
    fn gateways_lend_their_devices() {
        let some = rights(":gateways=G1,G2");
        let device = DeviceId::from("D");
        assert!(some.may_speak_for(&device, Some(&GatewayId::from("G2"))));
        assert!(!some.may_speak_for(&device, Some(&GatewayId::from("G3"))));
        assert!(!some.may_speak_for(&device, None));
    }

    #[test]
    fn rights_that_are_none_are_refused() {
        for text in [
            ":devices=",
            ":devices=A,,B",
            ":topics=a/#/b",
            ":topics=a+",
            "x",
        ] {
            assert!(Rights::parse("u", text).is_err(), "{text}");
        }
    }
}
