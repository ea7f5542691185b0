//! A small site on disk: registry, profiles, configuration.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use qiliang::registry::columns;
use tempfile::TempDir;

/// A site with `meters` meters `M0…` that speak as devices `D0…` in the JSON push profile.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
}

const CUSTOMER: &str = "industrial,north,1,C30,G1,客户经理01,,direct,120.0,6000000,3.40,0.05,three,8,true,900,50,true,,2020-01-01";

impl Site {
    pub(crate) fn new(meters: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let registry = dir.path().join("registry");
        fs::create_dir(&registry).unwrap();
        let write = |name: &str, text: String| fs::write(registry.join(name), text).unwrap();
        write(
            "company.toml",
            "name = \"Test Gas\"\nshort_name = \"测试\"\nheating_from = \"11-15\"\nheating_to = \"03-15\"\n".into(),
        );
        write("contracts.toml", CONTRACT.into());
        write(
            "zones.csv",
            format!("{}\nnorth,North,zz,101.0\n", columns::ZONES.join(",")),
        );
        write(
            "sources.csv",
            format!(
                "{}\npipe,Pipe,pipeline_regulated,S,North gate\n",
                columns::SOURCES.join(",")
            ),
        );
        write(
            "source_shares.csv",
            format!("{}\nnorth,pipe,2020-01-01,1\n", columns::SHARES.join(",")),
        );
        let mut customers = format!("{}\n", columns::CUSTOMERS.join(","));
        let mut rows = format!("{}\n", columns::METERS.join(","));
        for i in 0..meters {
            writeln!(customers, "K{i},Works {i},{CUSTOMER}").unwrap();
            writeln!(
                rows,
                "M{i},D{i},K{i},north,customer,turbine,qiliang/json-push,std,9,400,1,900,,0,2020-01-01"
            )
            .unwrap();
        }
        write("customers.csv", customers);
        write("meters.csv", rows);
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Adds a file to the registry, or replaces one.
    pub(crate) fn registry_file(&self, name: &str, text: &str) {
        fs::write(self.path().join("registry").join(name), text).unwrap();
    }

    /// Writes `site.toml`: the shipped profiles and calendar, this registry, plus `extra`.
    pub(crate) fn config(&self, extra: &str) -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = format!(
            "[paths]\ndata_dir = {:?}\nregistry_dir = {:?}\nprofiles_dir = {:?}\ncalendar_dir = {:?}\n\
             [serve]\naddress = \"127.0.0.1:0\"\n{extra}",
            self.data_dir(),
            self.path().join("registry"),
            root.join("device-profiles"),
            root.join("config/calendar"),
        );
        let file = self.path().join("site.toml");
        fs::write(&file, text).unwrap();
        file
    }
}

/// A broker section for `Site::config`.
pub(crate) fn broker(port: u16) -> String {
    format!(
        "[[mqtt.broker]]\nname = \"test\"\nhost = \"127.0.0.1\"\nport = {port}\nclient_id = \"qiliang-test\"\n\
         keep_alive_s = 10\nin_flight_max = 500\nretry_delay_min_ms = 50\nretry_delay_max_ms = 500\n"
    )
}

const CONTRACT: &str = r#"
[[contract]]
id = "C1"
supplier = "S"
source = "pipe"
delivery_point = "North gate"
valid_from = "2026-04-01"
valid_to = "2027-03-31"
[[contract.component]]
kind = "balanced1"
contract_month_m3 = ["1", "1", "1", "1", "1", "1", "1", "1", "1", "1", "1", "1"]
price_high_yuan_per_m3 = "2.5"
price_low_yuan_per_m3 = "2.1"
[contract.deviation]
band_ratio = 0.05
over_take_yuan_per_m3 = "1.2"
under_take_yuan_per_m3 = "0.35"
take_or_pay_ratio = 0.9
take_day_min_ratio = 0.7
take_day_max_ratio = 1.1
flow_max_m3h = 60000.0
[contract.deadlines]
month_submit_day = 20
month_reply_day = 25
day_submit_at = "10:00:00"
day_submit_hard_at = "11:00:00"
day_reply_at = "16:00:00"
day_change_at = "14:00:00"
"#;
