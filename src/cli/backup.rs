//! `qiliang backup` and `qiliang restore`: copies of both stores, checked byte by byte.

use std::path::Path;

use super::{Context, Failure};
use crate::domain::calendar::beijing_civil;
use crate::store::backup::{self, Manifest};

/// Copies the stores into a new folder; a daemon may be running.
pub(super) fn backup(context: &Context, to: &Path) -> Result<(), Failure> {
    let settings = context.settings()?;
    let manifest = backup::backup(&settings.paths.data_dir, to, context.clock.now())?;
    println!("{}: {}", to.display(), described(&manifest));
    Ok(())
}

/// Reads a backup to its last byte and tells whether it can be restored.
pub(super) fn check(from: &Path) -> Result<(), Failure> {
    let manifest = backup::check(from)?;
    println!("ok: {}: {}", from.display(), described(&manifest));
    Ok(())
}

/// Puts a backup where the configuration has its data.
pub(super) fn restore(context: &Context, from: &Path, is_replacing: bool) -> Result<(), Failure> {
    let settings = context.settings()?;
    let data_dir = &settings.paths.data_dir;
    let (manifest, aside) = backup::restore(from, data_dir, is_replacing, context.clock.now())?;
    println!("{}: {}", data_dir.display(), described(&manifest));
    if let Some(aside) = aside {
        println!("what was there is in {}", aside.display());
    }
    Ok(())
}

fn described(manifest: &Manifest) -> String {
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    format!(
        "{} file(s), {:.1} MB, made {} by {}",
        manifest.files.len(),
        bytes as f64 / 1e6,
        beijing_civil(manifest.made_at).format("%Y-%m-%d %H:%M:%S"),
        manifest.program,
    )
}
