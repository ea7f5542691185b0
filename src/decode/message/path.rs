//! Where the values of a message lie: JSON pointers, gathered in one tree, so that a frame is read
//! once from front to back and only what some pointer names is kept.

use std::fmt;

/// A JSON pointer (RFC 6901) and the slot its value is put into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::decode) struct Pointer {
    text: String,
    slot: usize,
}

impl Pointer {
    /// Where its value is in the slots of a frame.
    pub(in crate::decode) const fn slot(&self) -> usize {
        self.slot
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One step down the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::decode) struct Step {
    slot: Option<usize>,
    /// By length, then text: keys of another length are passed over at once.
    children: Vec<Child>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Child {
    key: String,
    /// The key as the index of an array.
    index: Option<usize>,
    step: Step,
}

impl Step {
    /// The slot of the value here, if a pointer ends here.
    pub(in crate::decode) const fn slot(&self) -> Option<usize> {
        self.slot
    }

    /// The step under a key of an object, with its number among its siblings.
    pub(in crate::decode) fn key(&self, key: &str) -> Option<(usize, &Self)> {
        let from = self.children.partition_point(|c| c.key.len() < key.len());
        self.children
            .iter()
            .enumerate()
            .skip(from)
            .take_while(|(_, c)| c.key.len() == key.len())
            .find(|(_, c)| c.key == key)
            .map(|(number, c)| (number, &c.step))
    }

    /// The step to an element of an array.
    pub(in crate::decode) fn element(&self, index: usize) -> Option<&Self> {
        self.children
            .iter()
            .find(|c| c.index == Some(index))
            .map(|c| &c.step)
    }
}

/// The tree of all pointers of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::decode) struct Paths {
    root: Step,
    slots: usize,
}

impl Paths {
    /// A pointer, added to the tree; none where the text is no pointer. The same text twice is one
    /// slot.
    pub(in crate::decode) fn pointer(&mut self, text: &str) -> Option<Pointer> {
        let rest = text.strip_prefix('/')?;
        let mut step = &mut self.root;
        for part in rest.split('/') {
            let key = part.replace("~1", "/").replace("~0", "~");
            let by_length =
                |c: &Child| (c.key.len(), c.key.as_str()).cmp(&(key.len(), key.as_str()));
            let at = match step.children.binary_search_by(by_length) {
                Ok(at) => at,
                Err(at) => {
                    let child = Child {
                        index: index(&key),
                        key,
                        step: Step::default(),
                    };
                    step.children.insert(at, child);
                    at
                }
            };
            step = &mut step.children.get_mut(at)?.step;
        }
        let next = self.slots;
        let slot = *step.slot.get_or_insert(next);
        if slot == next {
            self.slots += 1;
        }
        Some(Pointer {
            text: text.to_owned(),
            slot,
        })
    }

    /// Where a frame's root stands.
    pub(in crate::decode) const fn root(&self) -> &Step {
        &self.root
    }

    /// How many slots a frame fills.
    pub(in crate::decode) const fn slots(&self) -> usize {
        self.slots
    }
}

/// An array index as RFC 6901 writes it: no sign, no leading zero.
fn index(key: &str) -> Option<usize> {
    let is_plain = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
    if is_plain { key.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_pointer_twice_is_one_slot() {
        let mut paths = Paths::default();
        let first = paths.pointer("/a/b").unwrap();
        let other = paths.pointer("/a").unwrap();
        assert_eq!(paths.pointer("/a/b").unwrap(), first);
        assert_ne!(first.slot(), other.slot());
        assert_eq!(paths.slots(), 2);
        assert!(paths.pointer("a").is_none());
    }

    #[test]
    fn steps_are_found_by_key_and_by_index() {
        let mut paths = Paths::default();
        let pointers: Vec<Pointer> = ["/d/0/v", "/d/01", "/long key", "/k~1y", "/k~0y", "/"]
            .iter()
            .map(|text| paths.pointer(text).unwrap())
            .collect();
        let root = paths.root();
        let slot = |step: Option<&Step>| step.and_then(Step::slot);
        let list = root.key("d").unwrap().1;
        assert_eq!(
            slot(list.element(0).and_then(|s| s.key("v")).map(|(_, s)| s)),
            Some(pointers[0].slot())
        );
        assert!(list.element(1).is_none(), "01 is a key, not an index");
        for (key, pointer) in [
            ("long key", &pointers[2]),
            ("k/y", &pointers[3]),
            ("k~y", &pointers[4]),
            ("", &pointers[5]),
        ] {
            assert_eq!(
                slot(root.key(key).map(|(_, s)| s)),
                Some(pointer.slot()),
                "{key}"
            );
        }
        assert!(root.key("e").is_none());
    }
}
