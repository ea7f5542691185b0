//! The folder of device profiles: all problems of all files at once; a profile that fails is left
//! out, and on a reload its old form stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::decode::code::problem;
use crate::decode::profile::DeviceProfile;
use crate::decode::{CSV_PREFIX, JSON_PUSH};
use crate::domain::frame::{RawFrame, Transport};
use crate::domain::id::ProfileId;
use crate::domain::problem::Problem;

/// Largest profile file.
const FILE_MAX_BYTES: u64 = 1_048_576;

/// Profiles by id, immutable; swapped whole on a reload.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProfileSet {
    profiles: BTreeMap<ProfileId, Arc<DeviceProfile>>,
}

impl ProfileSet {
    /// Loads `<vendor>/<model>.toml` files: the profiles that are good, and every problem of the
    /// others.
    pub fn load(dir: &Path) -> (Self, Vec<Problem>) {
        let folder = Folder::read(dir);
        (folder.set, folder.problems)
    }

    /// Loads again. A profile that is now bad keeps its old form; one whose file is gone is gone;
    /// a folder that cannot be read changes nothing.
    pub fn reload(&self, dir: &Path) -> (Self, Vec<Problem>) {
        let mut folder = Folder::read(dir);
        for (id, old) in &self.profiles {
            if folder.unreadable || folder.failed.contains(id) {
                folder
                    .set
                    .profiles
                    .entry(id.clone())
                    .or_insert_with(|| Arc::clone(old));
            }
        }
        (folder.set, folder.problems)
    }

    /// A profile.
    pub fn get(&self, id: &ProfileId) -> Option<&Arc<DeviceProfile>> {
        self.profiles.get(id)
    }

    /// The profile a frame is decoded with: the one its meter is bound to, except rows of an
    /// imported CSV file, which are always `qiliang/json-push`.
    pub fn for_frame(&self, frame: &RawFrame, bound: &ProfileId) -> Option<&Arc<DeviceProfile>> {
        if frame.transport == Transport::Import && frame.bytes.starts_with(CSV_PREFIX.as_bytes()) {
            self.profiles.get(JSON_PUSH)
        } else {
            self.profiles.get(bound)
        }
    }

    /// All profiles, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DeviceProfile>> {
        self.profiles.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.profiles.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty()
    }
}

#[derive(Default)]
struct Folder {
    set: ProfileSet,
    /// Ids whose file is there and bad.
    failed: BTreeSet<ProfileId>,
    unreadable: bool,
    problems: Vec<Problem>,
}

impl Folder {
    fn read(dir: &Path) -> Self {
        let mut folder = Self::default();
        let Some(entries) = folder.list(dir) else {
            folder.unreadable = true;
            return folder;
        };
        let mut files = Vec::new();
        for path in entries {
            if path.is_dir() {
                files.extend(folder.list(&path).unwrap_or_default());
            } else if is_toml(&path) {
                folder.problem(
                    &path,
                    problem::PLACE,
                    "profile lies in no vendor's folder",
                    "move it to <vendor>/<model>.toml",
                );
            }
        }
        let mut misplaced = Vec::new();
        for path in files.into_iter().filter(|p| is_toml(p)) {
            misplaced.extend(folder.file(&path));
        }
        for (path, id) in misplaced {
            folder.misplaced(&path, &id);
        }
        folder.problems.sort();
        folder
    }

    fn list(&mut self, dir: &Path) -> Option<Vec<PathBuf>> {
        let read = fs::read_dir(dir).and_then(|entries| {
            entries
                .map(|entry| entry.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        });
        match read {
            Ok(mut paths) => {
                paths.sort();
                Some(paths)
            }
            Err(error) => {
                self.problem(
                    dir,
                    problem::UNREADABLE,
                    format!("folder cannot be read: {error}"),
                    "create it or correct paths.profiles_dir",
                );
                None
            }
        }
    }

    /// Takes a file; a good one that lies elsewhere than its id says is given back.
    fn file(&mut self, path: &Path) -> Option<(PathBuf, ProfileId)> {
        let id = id_of(path);
        let read = fs::metadata(path).and_then(|meta| {
            if meta.len() > FILE_MAX_BYTES {
                Err(std::io::Error::other("it is larger than 1 MiB"))
            } else {
                fs::read_to_string(path)
            }
        });
        let text = match read {
            Ok(text) => text,
            Err(error) => {
                self.failed.insert(id);
                self.problem(
                    path,
                    problem::UNREADABLE,
                    format!("file cannot be read: {error}"),
                    "make it readable UTF-8 text",
                );
                return None;
            }
        };
        match DeviceProfile::parse(path, &text) {
            Ok(profile) if *profile.id() == id => {
                self.set.profiles.insert(id, Arc::new(profile));
                None
            }
            Ok(profile) => {
                self.failed.insert(id);
                Some((path.to_owned(), profile.id().clone()))
            }
            Err(problems) => {
                self.failed.insert(id);
                self.problems.extend(problems);
                None
            }
        }
    }

    fn misplaced(&mut self, path: &Path, id: &ProfileId) {
        if self.set.profiles.contains_key(id) {
            self.problem(
                path,
                problem::DUPLICATE,
                format!("id `{id}` is already that of {id}.toml"),
                "give this file another id, that of its place",
            );
        } else {
            self.problem(
                path,
                problem::PLACE,
                format!("id is `{id}` but the file's place says `{}`", id_of(path)),
                "rename the file or correct the id",
            );
        }
    }

    fn problem(
        &mut self,
        file: &Path,
        code: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem {
            file: file.to_owned(),
            line: None,
            code,
            message: message.into(),
            remedy: remedy.into(),
            is_warning: false,
        });
    }
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "toml")
}

/// The id a file's place stands for.
fn id_of(path: &Path) -> ProfileId {
    let part = |name: Option<&std::ffi::OsStr>| {
        name.map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let vendor = part(path.parent().and_then(Path::file_name));
    let model = part(path.file_stem());
    ProfileId::new(format!("{vendor}/{model}"))
}
