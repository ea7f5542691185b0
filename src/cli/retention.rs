//! `qiliang retention`: what is kept how long, and what would be dropped today.

use super::{Context, Failure};
use crate::domain::customer::CustomerClass;
use crate::run::retention::{Due, explain};
use crate::settings::{KeptDays, RetentionSettings};

/// Prints the lengths, then counts what is due; nothing is dropped.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    let app = context.read()?;
    let kept = &app.settings.retention;
    for line in lengths(kept) {
        println!("{line}");
    }
    let rejects = &app.settings.rejects;
    println!(
        "rejected frames: {} days, {} MB at most",
        rejects.keep_days,
        rejects.bytes_max / 1_000_000
    );
    let due = explain(&app.journal, &app.registry(), kept, app.today())?;
    if due.is_empty() {
        println!("nothing is due: no day is older than it is kept");
        return Ok(());
    }
    println!("due today, dropped by the running daemon a few thousand rows at a time:");
    for due in &due {
        println!("  {}", sentence(due));
    }
    let waiting = app.journal.outbox_len()?;
    let dirty = app.journal.dirty_len()?;
    if waiting + dirty > 0 {
        println!(
            "not before the second store has what waits for it ({waiting} keys; their days only) and curves \
             that wait are computed ({dirty} days)"
        );
    }
    Ok(())
}

/// How long each class keeps what, a line for all and one for each class that differs.
pub(super) fn lengths(kept: &RetentionSettings) -> Vec<String> {
    let all = kept.of(None);
    let mut lines = vec![format!("kept: {}", described(all))];
    for class in CustomerClass::ALL {
        let own = kept.of(Some(class));
        if own != all {
            lines.push(format!("kept of {}: {}", class.key(), described(own)));
        }
    }
    lines
}

fn described(kept: KeptDays) -> String {
    let days = |days: Option<u32>| {
        days.map_or_else(|| "for ever".to_owned(), |days| format!("{days} days"))
    };
    format!(
        "readings {}, curves {}, findings {}",
        days(kept.readings),
        days(kept.curves),
        days(kept.findings)
    )
}

fn sentence(due: &Due) -> String {
    let class = due
        .class
        .map_or("meters without a customer", CustomerClass::key);
    format!(
        "{} of {class} before {}: {} rows of {} meter(s), {} to {}, {:.1} MB",
        due.kind.key(),
        due.kept_from,
        due.rows,
        due.meters,
        due.days.0,
        due.days.1,
        due.bytes as f64 / 1e6
    )
}
