//! What the bytes of a reading are: by table of the journal, after the load of the first table.

use rusqlite::Connection;

use crate::load;
use crate::ours::{open, runtime, write};
use crate::size;

/// A row of the table.
struct Part {
    name: String,
    pages: u64,
    page_bytes: u64,
    /// Rows as SQLite keeps them, without their place in the page.
    payload: u64,
    /// What nothing stands in.
    unused: u64,
}

fn parts(c: &Connection) -> Vec<Part> {
    let sql = "SELECT name, count(*), sum(pgsize), sum(payload), sum(unused) FROM dbstat
               GROUP BY name ORDER BY 3 DESC";
    let mut statement = c.prepare(sql).expect("dbstat");
    let parts = statement
        .query_map([], |row| {
            let bytes = |index: usize| row.get::<_, i64>(index).map(i64::cast_unsigned);
            Ok(Part {
                name: row.get(0)?,
                pages: bytes(1)?,
                page_bytes: bytes(2)?,
                payload: bytes(3)?,
                unused: bytes(4)?,
            })
        })
        .expect("dbstat");
    parts.map(|part| part.expect("a part")).collect()
}

fn number(c: &Connection, sql: &str) -> f64 {
    c.query_row(sql, [], |row| row.get(0)).expect("a number")
}

pub fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let journal = open(dir.path());
    let (count, batches) = load::both();
    write(&runtime(), &journal, batches);
    journal.cut_log().expect("the log in the file");
    drop(journal);
    let c = Connection::open(dir.path().join("readings.db")).expect("the file");
    let each = |bytes: u64| bytes as f64 / count as f64;
    println!(
        "| of a reading's bytes | bytes | rows themselves | place in the page | empty | pages |"
    );
    println!("|---|---:|---:|---:|---:|---:|");
    let parts = parts(&c);
    let (small, large): (Vec<_>, Vec<_>) =
        parts.into_iter().partition(|p| each(p.page_bytes) < 0.05);
    for part in &large {
        println!(
            "| `{}` | {:.2} | {:.2} | {:.2} | {:.2} | {} |",
            part.name,
            each(part.page_bytes),
            each(part.payload),
            each(part.page_bytes - part.payload - part.unused),
            each(part.unused),
            part.pages
        );
    }
    let rest: u64 = small.iter().map(|part| part.page_bytes).sum();
    println!("| {} others | {:.2} | | | | |", small.len(), each(rest));
    let page = number(&c, "SELECT page_size FROM pragma_page_size");
    let free = number(&c, "SELECT freelist_count FROM pragma_freelist_count") * page;
    println!("| free pages | {:.2} | | | {0:.2} | |", free / count as f64);
    let folder = size(dir.path());
    println!("| all files of the folder | {:.2} | | | | |", each(folder));
    let body = number(&c, "SELECT avg(length(body)) FROM readings");
    let key = "SELECT avg(CASE WHEN meter < 128 THEN 1 WHEN meter < 32768 THEN 2 ELSE 3 END + 14) FROM readings";
    let key = number(&c, key);
    println!(
        "\nA row of `readings`: {body:.1} bytes of values, {key:.1} of day, meter and two instants, 6 of lengths."
    );
}
