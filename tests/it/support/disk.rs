//! A disk of its own that is soon full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::skipped;

/// Unmounts it in the end.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// 64 MiB at a folder, which is made; none where nothing may be mounted, which is said aloud.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(at)
            .output();
        if mounted.is_ok_and(|m| m.status.success()) {
            return Some(Self(at.to_owned()));
        }
        skipped("a small tmpfs cannot be mounted here (needs root): disk full");
        None
    }

    /// Takes all that is left, to the last byte; removing the file frees it.
    pub(crate) fn fill(&self) -> PathBuf {
        let ballast = self.0.join("ballast");
        let mut file = fs::File::create(&ballast).unwrap();
        for size in [1 << 20, 4_096, 1] {
            let block = vec![0x55_u8; size];
            while std::io::Write::write_all(&mut file, &block).is_ok() {}
        }
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
