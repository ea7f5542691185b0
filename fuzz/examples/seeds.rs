//! Writes the corpus every target begins with: the vectors of the shipped profiles, the profiles
//! themselves, and a few files and packets.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use qiliang_fuzz::shipped;

const CSV: &str = "device,sampled_at,total_std_m3,flow_std_m3h\n\
                   TX-000123,2026-11-21T08:00:00+08:00,3586401.1116,948.1\n\
                   TX-000124,2026-11-21 09:00:00,\"1,5\",\n";
const NDJSON: &str = "{\"device\":\"TX-000123\",\"payload\":{\"v\":1,\"ts\":\"2026-11-21T08:00:00+08:00\",\"std_m3\":\"1.5\"}}\n\
                      {\"topic\":\"gas/a/b/TX-1/up/reading\",\"hex\":\"68\"}\nnonsense\n";

/// CONNECT, SUBSCRIBE, PUBLISH at `QoS` 1, PINGREQ and DISCONNECT of MQTT 3.1.1.
const SESSION: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a\
    \x82\x06\x00\x01\x00\x01x\x01\
    \x32\x1d\x00\x15gas/a/b/TX/up/reading\x00\x02{}\x31\x32\
    \xc0\x00\xe0\x00";

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let dir = corpus.join(target);
        fs::create_dir_all(&dir)?;
        fs::write(dir.join(name), bytes)
    };
    let mut of_codec: BTreeMap<String, u8> = BTreeMap::new();
    let mut count = 0;
    for (file, codec, profile) in shipped() {
        let number = of_codec.entry(codec.clone()).or_default();
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for (n, vector) in profile.vectors().iter().enumerate() {
            let bytes = [&[*number], vector.bytes.as_ref()].concat();
            write(&codec, &format!("{stem}-{n}"), &bytes)?;
            count += 1;
        }
        *number += 1;
        write("profile", &stem, &fs::read(&file)?)?;
    }
    write("import_csv", "two-rows", CSV.as_bytes())?;
    write("import_ndjson", "three-lines", NDJSON.as_bytes())?;
    write("listener", "session", SESSION)?;
    println!("{count} vectors of {} codecs", of_codec.len());
    Ok(())
}
