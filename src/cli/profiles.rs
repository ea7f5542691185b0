//! `qiliang profiles check` and `try`.

use crate::decode::{self, DecodeContext, ProfileSet};
use crate::domain::id::ProfileId;

use super::{Context, Failure};

fn load(context: &Context) -> (ProfileSet, Vec<crate::domain::problem::Problem>) {
    let dir = context.profiles_dir();
    ProfileSet::load(&dir)
}

/// Loads every profile and runs its vectors.
pub(super) fn check(context: &Context) -> Result<(), Failure> {
    let (set, problems) = load(context);
    for profile in set.iter() {
        let mark = if profile.is_verified() {
            ""
        } else {
            "  (not verified on a device)"
        };
        println!(
            "{}: {} vectors pass{mark}",
            profile.id(),
            profile.vectors().len()
        );
    }
    if problems.iter().any(|p| !p.is_warning) {
        return Err(Failure::Problems(problems));
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(())
}

/// Decodes one frame; exit code 2 and the reason where it is refused.
pub(super) fn try_one(context: &Context, profile: &str, frame: &str) -> Result<(), Failure> {
    let (set, _) = load(context);
    let id = ProfileId::from(profile);
    let at = DecodeContext::at(context.clock.now());
    match decode::try_profile(&set, &id, frame.as_bytes(), &at) {
        Ok(value) => {
            println!("{}", serde_json::to_string_pretty(&value)?);
            Ok(())
        }
        Err(reason) => {
            eprintln!("refused: {reason}");
            Err(Failure::Refused)
        }
    }
}
