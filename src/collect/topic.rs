//! Topic templates: which topics we subscribe to, and which device a topic names.

use crate::domain::id::DeviceId;
use crate::settings::TopicSettings;

/// Longest topic MQTT can carry, bytes.
const TOPIC_MAX_BYTES: usize = 65_535;

/// The level that names the device.
const DEVICE: &str = "device";

/// What is wrong with a topic template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Not one template is configured.
    #[error(
        "no topic template is configured; add [[mqtt.topic]] with a template such as `gas/{{company}}/{{gateway}}/{{device}}/up/reading`"
    )]
    NoTemplate,
    /// Empty text.
    #[error(
        "a topic template is empty; write for example `gas/{{company}}/{{gateway}}/{{device}}/up/reading`"
    )]
    Empty,
    /// Nothing says which device speaks.
    #[error(
        "topic template `{template}` has no `{{device}}` level, so its messages cannot be bound to a meter; name the device's level `{{device}}`"
    )]
    DeviceMissing {
        /// The template.
        template: String,
    },
    /// The same name twice.
    #[error(
        "topic template `{template}` names `{{{name}}}` twice; give each level a name of its own"
    )]
    NameTwice {
        /// The template.
        template: String,
        /// The name.
        name: String,
    },
    /// MQTT wildcards are written as names here.
    #[error(
        "topic template `{template}` holds the wildcard `{wildcard}`; write a named level such as `{{gateway}}` instead, one for each level"
    )]
    Wildcard {
        /// The template.
        template: String,
        /// `+` or `#`.
        wildcard: char,
    },
    /// Braces that do not enclose a whole level, or a name of other characters.
    #[error(
        "topic template `{template}` has the level `{level}`; a level is plain text or one name of letters, digits and `_` in braces"
    )]
    BadLevel {
        /// The template.
        template: String,
        /// The level.
        level: String,
    },
    /// Topics that start with `$` belong to the broker.
    #[error(
        "topic template `{template}` starts with `$`, which brokers keep for themselves; start with a plain level"
    )]
    Reserved {
        /// The template.
        template: String,
    },
    /// Longer than MQTT allows.
    #[error("a topic template is {len} bytes long; MQTT allows {TOPIC_MAX_BYTES}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The same filter from two templates.
    #[error(
        "topic template `{template}` subscribes to `{filter}` as another one does; keep one of them"
    )]
    Duplicate {
        /// The later template.
        template: String,
        /// The filter both give.
        filter: String,
    },
}

impl TopicError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoTemplate => "collect.topic_none",
            Self::Empty => "collect.topic_empty",
            Self::DeviceMissing { .. } => "collect.topic_device_missing",
            Self::NameTwice { .. } => "collect.topic_name_twice",
            Self::Wildcard { .. } => "collect.topic_wildcard",
            Self::BadLevel { .. } => "collect.topic_level",
            Self::Reserved { .. } => "collect.topic_reserved",
            Self::TooLong { .. } => "collect.topic_too_long",
            Self::Duplicate { .. } => "collect.topic_duplicate",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    /// Must be this text.
    Text(String),
    /// Any one level.
    Any,
    /// Any one level that is not empty; it names the device.
    Device,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    levels: Vec<Level>,
    filter: String,
}

/// The topic templates in force.
///
/// A topic that matches none of them names no device; ingest then rejects the frame with
/// `collect.unknown_topic` and keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSet(Vec<Template>);

impl TopicSet {
    /// Checks the templates.
    ///
    /// # Errors
    /// Every problem of every template, not only the first.
    pub fn new(topics: &[TopicSettings]) -> Result<Self, Vec<TopicError>> {
        let mut errors = Vec::new();
        let mut templates: Vec<Template> = Vec::new();
        if topics.is_empty() {
            errors.push(TopicError::NoTemplate);
        }
        for topic in topics {
            match parse(&topic.template) {
                Err(found) => errors.extend(found),
                Ok(parsed) if templates.iter().any(|t| t.filter == parsed.filter) => {
                    errors.push(TopicError::Duplicate {
                        template: topic.template.clone(),
                        filter: parsed.filter,
                    });
                }
                Ok(parsed) => templates.push(parsed),
            }
        }
        if errors.is_empty() {
            Ok(Self(templates))
        } else {
            Err(errors)
        }
    }

    /// Subscription filters, in the order of the templates: `gas/+/+/+/up/reading`.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|t| t.filter.as_str())
    }

    /// The device a topic names, by the first template that matches.
    pub fn device_of(&self, topic: &str) -> Option<DeviceId> {
        self.0
            .iter()
            .find_map(|template| device_in(&template.levels, topic))
    }
}

fn device_in(levels: &[Level], topic: &str) -> Option<DeviceId> {
    let mut device = None;
    let mut parts = topic.split('/');
    for level in levels {
        let part = parts.next()?;
        match level {
            Level::Text(text) if text != part => return None,
            Level::Device if part.is_empty() => return None,
            Level::Device => device = Some(part),
            Level::Text(_) | Level::Any => {}
        }
    }
    if parts.next().is_some() {
        return None;
    }
    device.map(DeviceId::from)
}

fn parse(template: &str) -> Result<Template, Vec<TopicError>> {
    if template.is_empty() {
        return Err(vec![TopicError::Empty]);
    }
    if template.len() > TOPIC_MAX_BYTES {
        return Err(vec![TopicError::TooLong {
            len: template.len(),
        }]);
    }
    let mut errors = Vec::new();
    if template.starts_with('$') {
        errors.push(TopicError::Reserved {
            template: template.to_owned(),
        });
    }
    let mut names: Vec<&str> = Vec::new();
    let mut levels = Vec::new();
    for text in template.split('/') {
        match parse_level(template, text) {
            Err(error) => errors.push(error),
            Ok((level, None)) => levels.push(level),
            Ok((level, Some(name))) => {
                if names.contains(&name) {
                    errors.push(TopicError::NameTwice {
                        template: template.to_owned(),
                        name: name.to_owned(),
                    });
                }
                names.push(name);
                levels.push(level);
            }
        }
    }
    if !names.contains(&DEVICE) {
        errors.push(TopicError::DeviceMissing {
            template: template.to_owned(),
        });
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let filter: Vec<&str> = levels
        .iter()
        .map(|level| match level {
            Level::Text(text) => text.as_str(),
            Level::Any | Level::Device => "+",
        })
        .collect();
    let filter = filter.join("/");
    Ok(Template { levels, filter })
}

fn parse_level<'a>(template: &str, text: &'a str) -> Result<(Level, Option<&'a str>), TopicError> {
    if let Some(wildcard) = text.chars().find(|c| matches!(c, '+' | '#')) {
        return Err(TopicError::Wildcard {
            template: template.to_owned(),
            wildcard,
        });
    }
    let bad = || TopicError::BadLevel {
        template: template.to_owned(),
        level: text.to_owned(),
    };
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}'));
    if let Some(name) = inner {
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        return match name {
            _ if !is_name => Err(bad()),
            DEVICE => Ok((Level::Device, Some(name))),
            _ => Ok((Level::Any, Some(name))),
        };
    }
    if text.contains(['{', '}', '\0']) {
        return Err(bad());
    }
    Ok((Level::Text(text.to_owned()), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(templates: &[&str]) -> Result<TopicSet, Vec<TopicError>> {
        let topics: Vec<TopicSettings> = templates
            .iter()
            .map(|t| TopicSettings {
                template: (*t).to_owned(),
            })
            .collect();
        TopicSet::new(&topics)
    }

    fn codes(templates: &[&str]) -> Vec<&'static str> {
        let errors = set(templates).unwrap_err();
        errors.iter().map(TopicError::code).collect()
    }

    #[test]
    fn a_template_gives_a_filter_and_finds_the_device() {
        let set = set(&[
            "gas/{company}/{gateway}/{device}/up/reading",
            "cjt188/{device}",
        ])
        .unwrap();
        let filters: Vec<&str> = set.filters().collect();
        assert_eq!(filters, ["gas/+/+/+/up/reading", "cjt188/+"]);
        let device = |topic: &str| set.device_of(topic).map(|d| d.to_string());
        assert_eq!(
            device("gas/xy/gw1/TX-000123/up/reading").as_deref(),
            Some("TX-000123")
        );
        assert_eq!(device("cjt188/00112233").as_deref(), Some("00112233"));
    }

    #[test]
    fn a_topic_that_matches_nothing_names_no_device() {
        let set = set(&["gas/{company}/{device}/up"]).unwrap();
        for topic in [
            "",
            "gas",
            "gas/a/b",
            "gas/a/b/down",
            "gas/a/b/up/more",
            "GAS/a/b/up",
            "gas/a//up",
            "/gas/a/b/up",
            "gas/a/b/up/",
        ] {
            assert_eq!(set.device_of(topic), None, "{topic}");
        }
        // Only the device must be named; an empty gateway level is the sender's affair.
        assert!(set.device_of("gas//b/up").is_some());
    }

    #[test]
    fn every_problem_of_every_template_is_told_at_once() {
        assert_eq!(codes(&[]), ["collect.topic_none"]);
        assert_eq!(
            codes(&["", "gas/{gateway}/up", "gas/+/{device}", "gas/#"]),
            [
                "collect.topic_empty",
                "collect.topic_device_missing",
                "collect.topic_wildcard",
                "collect.topic_wildcard",
                "collect.topic_device_missing",
            ]
        );
        assert_eq!(
            codes(&["gas/{device}/{device}"]),
            ["collect.topic_name_twice"]
        );
        assert_eq!(
            codes(&["gas/x{device}/{device}", "{}/{device}", "{a b}/{device}"]),
            ["collect.topic_level"; 3]
        );
        assert_eq!(codes(&["$SYS/{device}"]), ["collect.topic_reserved"]);
        assert_eq!(
            codes(&["gas/{a}/{device}", "gas/{device}/{b}"]),
            ["collect.topic_duplicate"]
        );
        let text = set(&["gas/up"]).unwrap_err()[0].to_string();
        assert!(text.contains("`gas/up` has no `{device}` level"), "{text}");
    }

    proptest! {
        #[test]
        fn no_topic_and_no_template_makes_it_fall_over(template in ".{0,40}", topic in ".{0,40}") {
            if let Some(device) = set(&[&template]).ok().and_then(|s| s.device_of(&topic)) {
                prop_assert!(topic.contains(device.as_str()));
                prop_assert!(!device.as_str().is_empty());
            }
        }
    }
}
