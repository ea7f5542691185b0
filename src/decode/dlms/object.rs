//! From the body of a message to objects with codes, by the layout the profile states.

use crate::decode::code::reject;
use crate::decode::dlms::axdr::Data;
use crate::decode::dlms::obis::{Obis, Unit};
use crate::domain::frame::RejectReason;

/// Attribute of a value; of a register's scaler and unit.
pub(super) const VALUE: u8 = 2;
const SCALER_UNIT: u8 = 3;

/// An attribute of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) code: Obis,
    pub(super) number: u8,
}

impl Attribute {
    /// `7-0:13.2.0`, or with another attribute than the value `0-0:96.3.10/3`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (code, number) = match text.split_once('/') {
            Some((code, number)) => (code, number.parse().ok().filter(|n| *n > 0)?),
            None => (text, VALUE),
        };
        Some(Self {
            code: Obis::parse(code)?,
            number,
        })
    }
}

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.code.fmt(f)?;
        if self.number == VALUE {
            Ok(())
        } else {
            write!(f, "/{}", self.number)
        }
    }
}

/// How a message says which value is of which object.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layout {
    /// The first element lists class, code and attribute of every element.
    Described,
    /// Codes stand before their values; scaler and unit may follow.
    Pairs {
        /// Elements before the first code.
        skip: usize,
    },
    /// Elements are known by their place; none is read over.
    Positions(Vec<Option<Attribute>>),
}

/// An object as a message has it.
#[derive(Debug)]
pub(super) struct Object<'d, 'a> {
    pub(super) attribute: Attribute,
    pub(super) value: &'d Data<'a>,
    pub(super) unit: Option<Unit>,
}

/// The objects of a message.
#[derive(Debug)]
pub(super) struct Objects<'d, 'a>(pub(super) Vec<Object<'d, 'a>>);

impl<'d, 'a> Objects<'d, 'a> {
    /// Reads the body of a message.
    pub(super) fn read(layout: &Layout, body: &'d Data<'a>) -> Result<Self, RejectReason> {
        let elements = body
            .elements()
            .ok_or_else(|| layout_fault("is no structure"))?;
        match layout {
            Layout::Described => described(elements),
            Layout::Pairs { skip } => pairs(elements.get(*skip..).unwrap_or_default()),
            Layout::Positions(places) => positions(places, elements),
        }
    }

    /// An attribute; refused if it is there twice.
    pub(super) fn find(
        &self,
        attribute: Attribute,
    ) -> Result<Option<&Object<'d, 'a>>, RejectReason> {
        let mut found = self.0.iter().filter(|o| o.attribute == attribute);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(RejectReason::new(
                reject::APDU,
                format!("object {attribute} is there twice"),
            )),
            (first, None) => Ok(first),
        }
    }
}

fn described<'d, 'a>(elements: &'d [Data<'a>]) -> Result<Objects<'d, 'a>, RejectReason> {
    let Some(list) = elements.first().and_then(Data::elements) else {
        return Err(layout_fault("does not begin with its list of objects"));
    };
    if list.len() != elements.len() {
        return Err(layout_fault(format_args!(
            "has {} elements; its list describes {}",
            elements.len(),
            list.len()
        )));
    }
    let mut objects = Vec::with_capacity(list.len());
    for (entry, value) in list.iter().zip(elements) {
        let attribute = description(entry)
            .ok_or_else(|| layout_fault("has a list of objects with an entry that is none"))?;
        objects.push(Object {
            attribute,
            value,
            unit: None,
        });
    }
    let units: Vec<(Obis, Unit)> = objects
        .iter()
        .filter(|o| o.attribute.number == SCALER_UNIT)
        .filter_map(|o| Some((o.attribute.code, scaler_unit(o.value)?)))
        .collect();
    for object in objects.iter_mut().filter(|o| o.attribute.number == VALUE) {
        object.unit = units
            .iter()
            .find(|(code, _)| *code == object.attribute.code)
            .map(|(_, unit)| *unit);
    }
    Ok(Objects(objects))
}

/// `{ class, code, attribute, index }`.
fn description(entry: &Data<'_>) -> Option<Attribute> {
    let [
        Data::Integer(_),
        Data::Octets(code),
        Data::Integer(number),
        ..,
    ] = entry.elements()?
    else {
        return None;
    };
    Some(Attribute {
        code: Obis::from_octets(code)?,
        number: u8::try_from(*number).ok()?,
    })
}

/// `{ code, value, { scaler, unit } }`, each in its own structure or all in one.
fn pairs<'d, 'a>(elements: &'d [Data<'a>]) -> Result<Objects<'d, 'a>, RejectReason> {
    let mut objects = Vec::with_capacity(elements.len());
    let mut rest = elements;
    while let Some((first, after)) = rest.split_first() {
        if let Some(inner) = first.elements() {
            let (object, left) = pair(inner)?;
            if !left.is_empty() {
                return Err(layout_fault("has more behind a value than scaler and unit"));
            }
            objects.push(object);
            rest = after;
        } else {
            let (object, left) = pair(rest)?;
            objects.push(object);
            rest = left;
        }
    }
    Ok(Objects(objects))
}

fn pair<'d, 'a>(
    elements: &'d [Data<'a>],
) -> Result<(Object<'d, 'a>, &'d [Data<'a>]), RejectReason> {
    let [Data::Octets(code), value, rest @ ..] = elements else {
        return Err(layout_fault(
            "has no code and value where a pair should stand",
        ));
    };
    let code = Obis::from_octets(code)
        .ok_or_else(|| layout_fault("has a code that is not six bytes long"))?;
    let (unit, rest) = match rest.split_first() {
        Some((first, after)) => match scaler_unit(first) {
            Some(unit) => (Some(unit), after),
            None => (None, rest),
        },
        None => (None, rest),
    };
    let object = Object {
        attribute: Attribute {
            code,
            number: VALUE,
        },
        value,
        unit,
    };
    Ok((object, rest))
}

fn positions<'d, 'a>(
    places: &[Option<Attribute>],
    elements: &'d [Data<'a>],
) -> Result<Objects<'d, 'a>, RejectReason> {
    if places.len() != elements.len() {
        return Err(layout_fault(format_args!(
            "has {} elements; the profile lists {} objects",
            elements.len(),
            places.len()
        )));
    }
    let mut objects = Vec::with_capacity(places.len());
    for (place, element) in places.iter().zip(elements) {
        let Some(attribute) = *place else { continue };
        // A register may come as { value, { scaler, unit } }.
        let (value, unit) = match element.elements() {
            Some([value, last]) => match scaler_unit(last) {
                Some(unit) => (value, Some(unit)),
                None => (element, None),
            },
            _ => (element, None),
        };
        objects.push(Object {
            attribute,
            value,
            unit,
        });
    }
    Ok(Objects(objects))
}

fn scaler_unit(data: &Data<'_>) -> Option<Unit> {
    match data {
        Data::Structure(parts) => match parts.as_slice() {
            [Data::Integer(scaler), Data::Enum(code)] => Some(Unit {
                scaler: i8::try_from(*scaler).ok()?,
                code: *code,
            }),
            _ => None,
        },
        _ => None,
    }
}

fn layout_fault(what: impl std::fmt::Display) -> RejectReason {
    RejectReason::new(reject::APDU, format!("message {what}"))
}
