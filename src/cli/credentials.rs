//! `qiliang credentials`.

use std::io::BufRead as _;

use anyhow::anyhow;

use super::{Failure, RightsArguments};
use crate::collect::credentials::{Credentials as _, Users, hash_password, new_token};

/// Rights as they stand behind a secret.
fn suffix(rights: &RightsArguments) -> String {
    [
        ("devices", &rights.devices),
        ("topics", &rights.topics),
        ("gateways", &rights.gateways),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!(":{name}={}", value.as_ref()?)))
    .collect()
}

/// Hashes a password from standard input.
pub(super) fn password(user: &str, rights: &RightsArguments) -> Result<(), Failure> {
    let mut password = String::new();
    std::io::stdin().lock().read_line(&mut password)?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(anyhow!(
            "no password came in; pipe it: `qiliang credentials password TX-1 < file`"
        )
        .into());
    }
    let line = format!("{user}:{}{}", hash_password(password)?, suffix(rights));
    if let Err(problems) = Users::parse(&line) {
        let reason = problems.first().map_or("", |problem| problem.reason);
        return Err(anyhow!("the line for `{user}` {reason}").into());
    }
    println!("{line}");
    Ok(())
}

/// Makes a token.
pub(super) fn token(id: &str, rights: &RightsArguments) -> Result<(), Failure> {
    let (shown, line) = new_token(id, &suffix(rights))?;
    eprintln!("note: the token is shown this once; the line goes into push.tokens_file");
    println!("token  {shown}");
    println!("line   {line}");
    Ok(())
}
