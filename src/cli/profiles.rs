//! `qiliang profiles check`, `show`, `try` and `new`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{Context, Failure};
use crate::decode::draft::{self, Hints};
use crate::decode::vector::Expected;
use crate::decode::{self, DecodeContext, DeviceProfile, ProfileSet};
use crate::domain::calendar::beijing_civil;
use crate::domain::id::{DeviceId, ProfileId};
use crate::domain::key::DeviceKey;
use crate::domain::problem::Problem;

/// Largest frame or capture read from a file, bytes.
const INPUT_MAX: u64 = 16 * 1_048_576;

/// `qiliang profiles try`.
#[derive(Debug, Args)]
pub(super) struct Try {
    /// Profile, `<vendor>/<model>`.
    #[arg(long)]
    profile: String,
    /// AES-128 key of the device, 32 hexadecimal digits; otherwise that of `decode.keys_file`.
    #[arg(long, value_name = "HEX")]
    key: Option<String>,
    /// The device the frame comes from, where the transport would say so.
    #[arg(long)]
    device: Option<String>,
    /// The frame: JSON, hexadecimal, `@file`, or `-` for standard input. `--at` says when it came.
    frame: String,
}

/// `qiliang profiles new`.
#[derive(Debug, Args)]
pub(super) struct New {
    /// Captured frames: JSON, a line of JSON or hexadecimal for each, or one binary frame.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The new profile, `<vendor>/<model>`; it becomes a file in the profiles' folder.
    #[arg(long, default_value = "draft/new")]
    id: String,
    /// JSON pointer of the total, where its name does not tell.
    #[arg(long, value_name = "POINTER")]
    total: Option<String>,
    /// JSON pointer of the time, where its form does not tell.
    #[arg(long, value_name = "POINTER")]
    time: Option<String>,
}

fn load(context: &Context) -> (ProfileSet, Vec<Problem>) {
    ProfileSet::load(&context.profiles_dir())
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

/// Prints what a profile is and what its vectors show.
pub(super) fn show(context: &Context, id: &str) -> Result<(), Failure> {
    let (set, problems) = load(context);
    let Some(profile) = set.get(&ProfileId::from(id)) else {
        let own: Vec<Problem> = problems
            .into_iter()
            .filter(|p| p.file.ends_with(format!("{id}.toml")))
            .collect();
        if !own.is_empty() {
            return Err(Failure::Problems(own));
        }
        let known: Vec<&str> = set.iter().map(|p| p.id().as_str()).collect();
        return Err(anyhow!("there is no profile `{id}`; there are {}", known.join(", ")).into());
    };
    print!("{}", described(profile));
    Ok(())
}

fn described(profile: &DeviceProfile) -> String {
    let verified = if profile.is_verified() {
        "yes"
    } else {
        "no: hold its readings against a device before you trust them"
    };
    let key = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
    let mut out = format!(
        "profile      {}\n             {}\nverified     {verified}\ntransport    {}\ncodec        {}\n",
        profile.id(),
        profile.description(),
        key(&profile.transport()),
        key(&profile.codec()),
    );
    for block in profile.register_blocks() {
        writeln!(
            out,
            "reads        function {}, registers {} to {}",
            block.function,
            block.start,
            u32::from(block.start) + u32::from(block.count).saturating_sub(1)
        )
        .ok();
    }
    for vector in profile.vectors() {
        writeln!(out, "vector       {}", vector.name).ok();
        match &vector.expected {
            Expected::Reject(code) => {
                writeln!(out, "               refused: {code}").ok();
            }
            Expected::Decoded(decoded) => {
                let at = beijing_civil(decoded.sampled_at).to_rfc3339();
                writeln!(out, "               at {at}").ok();
                let shown = decode::to_json(decoded);
                let items = shown.get("items").and_then(|items| items.as_object());
                for (item, value) in items.into_iter().flatten() {
                    writeln!(out, "               {item} = {value}").ok();
                }
                for array in &decoded.frozen {
                    writeln!(
                        out,
                        "               {} × {} every {} s",
                        array.totals.len(),
                        array.item.key(),
                        array.step_s
                    )
                    .ok();
                }
            }
        }
    }
    out
}

/// Decodes one frame; exit code 2 and the reason where it is refused.
pub(super) fn try_one(context: &Context, asked: &Try) -> Result<(), Failure> {
    let (set, problems) = load(context);
    for problem in &problems {
        eprintln!("{problem}");
    }
    let frame = input(&asked.frame)?;
    let mut keys = context.keys();
    let device = asked.device.as_deref().map(DeviceId::from);
    // A key given here is that of whatever device the frame names.
    let stand_in = DeviceId::from("command line");
    let of_context = device.as_ref().or(asked.key.as_ref().map(|_| &stand_in));
    if let (Some(text), Some(device)) = (&asked.key, of_context) {
        let key = DeviceKey::from_hex(text)
            .context("--key is no AES-128 key; write 32 hexadecimal digits")?;
        keys.insert(device.clone(), key);
    }
    let at = DecodeContext {
        received_at: context.clock.now(),
        device: of_context,
        keys: &keys,
    };
    let id = ProfileId::from(asked.profile.as_str());
    match decode::try_profile(&set, &id, &frame, &at) {
        Ok(value) => {
            println!("{}", serde_json::to_string_pretty(&value)?);
            if set.get(&id).is_some_and(|p| !p.is_verified()) {
                eprintln!("note: profile `{id}` is not verified on a device");
            }
            Ok(())
        }
        Err(reason) => {
            eprintln!("refused: {reason}");
            Err(Failure::Refused)
        }
    }
}

/// The bytes of an argument: itself, a file's, or those of standard input.
fn input(argument: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = match (argument, argument.strip_prefix('@')) {
        ("-", _) => std::io::stdin().take(INPUT_MAX).read_to_end(&mut bytes),
        (_, Some(name)) => File::open(name)
            .and_then(|file| file.take(INPUT_MAX).read_to_end(&mut bytes))
            .map_err(|error| std::io::Error::other(format!("{name}: {error}"))),
        _ => return Ok(argument.trim().as_bytes().to_vec()),
    };
    read.context("the frame cannot be read; give it itself, @file, or - for standard input")?;
    // A text file ends with a line break that is no part of the frame.
    while bytes.last().is_some_and(|b| *b == b'\n' || *b == b'\r')
        && std::str::from_utf8(&bytes).is_ok()
    {
        bytes.pop();
    }
    Ok(bytes)
}

/// Writes a draft that loads; never over a profile that is there.
pub(super) fn new(context: &Context, asked: &New) -> Result<(), Failure> {
    let is_part = |part: &str| {
        let is_known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !part.is_empty() && part.bytes().all(is_known)
    };
    let Some((vendor, model)) = asked
        .id
        .split_once('/')
        .filter(|(vendor, model)| is_part(vendor) && is_part(model))
    else {
        return Err(anyhow!(
            "`{}` is not <vendor>/<model>; write lower-case letters, digits and hyphens around one slash",
            asked.id
        )
        .into());
    };
    let mut capture = Vec::new();
    File::open(&asked.from)
        .and_then(|file| file.take(INPUT_MAX).read_to_end(&mut capture))
        .with_context(|| format!("{} cannot be read", asked.from.display()))?;
    let hints = Hints {
        total: asked.total.clone(),
        time: asked.time.clone(),
    };
    let id = ProfileId::from(asked.id.as_str());
    let draft = match draft::draft(&id, &draft::frames(&capture), &hints) {
        Ok(draft) => draft,
        Err(error) => {
            eprintln!("refused: {error}");
            return Err(Failure::Refused);
        }
    };
    let folder = context.profiles_dir().join(vendor);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(format!("{model}.toml"));
    let mut file = File::create_new(&path).with_context(|| {
        format!(
            "{} is not written over; choose another --id or move it away",
            path.display()
        )
    })?;
    file.write_all(draft.text.as_bytes())?;
    print!("{}", next_steps(&path.display().to_string(), &draft));
    Ok(())
}

fn next_steps(path: &str, draft: &draft::Draft) -> String {
    format!(
        "{path}: drafted from {}; {} frame(s) decode, {} are refused\n\
         next: 1. choose among the candidates in the file and correct names and units\n\
         \x20     2. qiliang profiles check\n\
         \x20     3. hold the readings against the meter's display, then set verified = true\n\
         \x20     4. bind meters to it in meters.csv; qiliang rejects replay takes what came before\n",
        draft.kind, draft.decoded, draft.refused
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn shipped(id: &str) -> std::sync::Arc<DeviceProfile> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
        let (set, _) = ProfileSet::load(&dir);
        std::sync::Arc::clone(set.get(&ProfileId::from(id)).unwrap())
    }

    #[test]
    fn a_profile_is_described_by_what_its_vectors_show() {
        insta::assert_snapshot!("profiles_show", described(&shipped("generic/cjt188-gas")));
    }

    #[test]
    fn the_next_steps_are_named() {
        let draft = draft::Draft {
            text: String::new(),
            kind: "JSON objects",
            decoded: 2,
            refused: 1,
        };
        insta::assert_snapshot!(
            "profiles_new",
            next_steps("device-profiles/acme/g25.toml", &draft)
        );
    }
}
