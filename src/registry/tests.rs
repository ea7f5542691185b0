use std::fs;
use std::path::Path;

use super::*;
use crate::domain::contract::SupplyContract;
use crate::domain::meter::CorrectorMethod;

const COMPANY: &str = r#"
name = "Test Gas"
short_name = "测试"
heating_from = "11-15"
heating_to = "03-15"
"#;

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

const CUSTOMER: &str = "K1,Works,industrial,north,1,C30,G1,AM1,,direct,120.0,6000000,3.40,0.05,three,8,true,900,50,true,,2020-01-01";
const METER: &str = "M1,D1,K1,north,customer,turbine,acme/x,std,9,400,1,900,,0,2020-01-01";

fn write_valid(dir: &Path) {
    let write = |name: &str, text: String| fs::write(dir.join(name), text).unwrap();
    write("company.toml", COMPANY.into());
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
    write(
        "customers.csv",
        format!("{}\n{CUSTOMER}\n", columns::CUSTOMERS.join(",")),
    );
    write(
        "meters.csv",
        format!("{}\n{METER}\n", columns::METERS.join(",")),
    );
}

fn profiles() -> BTreeSet<ProfileId> {
    BTreeSet::from([ProfileId::from("acme/x")])
}

fn now() -> DateTime<Utc> {
    "2026-11-27T00:00:00Z".parse().unwrap()
}

fn load(dir: &Path, profiles: &BTreeSet<ProfileId>) -> (Option<Registry>, Vec<Problem>) {
    super::load(dir, profiles, &BTreeMap::new(), now())
}

#[test]
fn a_valid_folder_has_no_problem_and_a_stable_version() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let (registry, problems) = load(dir.path(), &profiles());
    assert_eq!(problems, vec![]);
    let registry = registry.unwrap();
    assert_eq!(registry.nodes().len(), 1);
    assert_eq!(
        registry.version,
        load(dir.path(), &profiles()).0.unwrap().version
    );
    fs::write(
        dir.path().join("company.toml"),
        COMPANY.replace("Test", "Other"),
    )
    .unwrap();
    assert_ne!(
        registry.version,
        load(dir.path(), &profiles()).0.unwrap().version
    );
}

#[test]
fn every_problem_is_listed_with_file_line_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
    let header = columns::METERS.join(",");
    let broken = [
        METER.replace("K1", "K9").replace("acme/x", "acme/y"),
        METER
            .replace("M1", "M2")
            .replace("turbine", "balloon")
            .replace("D1", "D2"),
        METER
            .replace("M1", "M3")
            .replace(",9,400", ",0,400")
            .replace("D1", "D3"),
    ];
    write("meters.csv", format!("{header}\n{}\n", broken.join("\n")));
    write(
        "zones.csv",
        "id,name,weather_station,atmosphere_kpa,colour\nnorth,North,zz,101,red\n".into(),
    );
    write(
        "contracts.toml",
        CONTRACT.replace("band_ratio = 0.05", "band_ratio = 5"),
    );
    let (_, problems) = load(dir.path(), &profiles());
    let printed: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let has = |file: &str, line: usize, text: &str| {
        let found = problems.iter().any(|p| {
            p.file.ends_with(file) && p.line == Some(line) && p.to_string().contains(text)
        });
        assert!(found, "{file}:{line} {text} not in\n{}", printed.join("\n"));
    };
    has("meters.csv", 2, "customer `K9` is not in customers.csv");
    has(
        "meters.csv",
        2,
        "profile `acme/y` is not in device-profiles/",
    );
    has("meters.csv", 3, "column `kind`: unknown variant `balloon`");
    has("meters.csv", 4, "`total_digits` is 0");
    has("zones.csv", 1, "unknown column `colour`");
    has("contracts.toml", 2, "`band_ratio` of contract `C1` is 5");
    assert!(problems.iter().all(|p| !p.remedy.is_empty()));
}

/// Each row of exchanges.csv is a step of the total: old − last + new − first.
#[test]
fn an_exchange_counts_once_and_once_it_has_happened() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let said = |rows: &[&str]| {
        let header = columns::EXCHANGES.join(",");
        let text = format!("{header}\n{}\n", rows.join("\n"));
        fs::write(dir.path().join("exchanges.csv"), text).unwrap();
        let (_, problems) = load(dir.path(), &profiles());
        let said = problems
            .iter()
            .map(|p| (p.line.unwrap_or(0), p.code, p.is_warning));
        said.collect::<Vec<_>>()
    };
    let first = "M1,2026-11-21T10:30:00+08:00,50000,0";
    assert_eq!(said(&[first, "M1,2026-11-25T09:00:00+08:00,300,0"]), []);
    // The same instant in another time zone, with another total, is still the same exchange.
    for again in [first, "M1,2026-11-21T02:30:00Z,50001,0"] {
        assert_eq!(
            said(&[first, again]),
            [(3, "registry.duplicate", false)],
            "{again}"
        );
    }
    // Beijing's 10:00 written as if it were Greenwich's.
    assert_eq!(
        said(&["M1,2026-11-27T10:00:00Z,50000,0"]),
        [(2, "registry.exchange_in_future", false)]
    );
    assert_eq!(
        said(&["M9,2026-11-21T10:30:00+08:00,50000,0"]),
        [(2, "registry.unknown_reference", false)]
    );
}

#[test]
fn a_device_and_a_unit_are_one_meter_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let header = [columns::METERS, &["removed_on"]].concat().join(",");
    let said = |rows: &[&str]| {
        let text = format!("{header}\n{}\n", rows.join("\n"));
        fs::write(dir.path().join("meters.csv"), text).unwrap();
        let gateways = "id,host,port\nG1,10.0.0.1,502\n";
        fs::write(dir.path().join("gateways.csv"), gateways).unwrap();
        let (registry, problems) = load(dir.path(), &profiles());
        let said: Vec<_> = problems.iter().map(|p| (p.line.unwrap(), p.code)).collect();
        (registry.unwrap(), said)
    };
    let row = |id: &str, device: &str, bus: &str, from: &str, to: &str| {
        format!("{id},{device},K1,north,customer,turbine,acme/x,std,9,400,1,900,{bus},{from},{to}")
    };
    // Removed on the 20th, put up elsewhere on the 21st; the bus address likewise.
    let first = row("M1", "D1", "G1,7", "2020-01-01", "2026-11-20");
    let next = row("M2", "D1", "G1,7", "2026-11-21", "");
    let (registry, problems) = said(&[&next, &first]);
    assert_eq!(problems, []);
    assert_eq!(registry.meter_of(&"D1".into()).unwrap().id, "M2".into());
    assert_eq!(
        registry.meters[&crate::domain::id::MeterId::from("M1")].removed_on,
        Some("2026-11-20".parse().unwrap())
    );
    // On the same day, without an end, and around a short stay elsewhere.
    let same_day = row("M2", "D1", ",0", "2026-11-20", "");
    assert_eq!(
        said(&[&first, &same_day]).1,
        [(3, "registry.duplicate")],
        "of the device"
    );
    let endless = row("M1", "D1", ",0", "2020-01-01", "");
    assert_eq!(said(&[&endless, &same_day]).1, [(3, "registry.duplicate")]);
    let short = row("M2", "D2", "G1,7", "2021-01-01", "2021-02-01");
    let within = row("M3", "D3", "G1,7", "2026-11-01", "");
    assert_eq!(
        said(&[&first, &short, &within]).1,
        [(3, "registry.duplicate"), (4, "registry.duplicate")],
        "both of the unit of the first"
    );
    let backwards = row("M1", "D1", ",0", "2026-11-20", "2026-11-19");
    assert_eq!(said(&[&backwards]).1, [(2, "registry.meter_dates")]);
}

#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    fs::remove_file(dir.path().join("meters.csv")).unwrap();
    let (registry, problems) = load(dir.path(), &profiles());
    assert!(registry.is_none());
    assert!(
        problems
            .iter()
            .any(|p| p.file.ends_with("meters.csv") && p.code == "registry.file_unreadable")
    );
}

#[test]
fn an_unknown_contract_key_names_its_contract() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let text = CONTRACT.replace("supplier =", "suplier =");
    fs::write(dir.path().join("contracts.toml"), text).unwrap();
    let (_, problems) = load(dir.path(), &profiles());
    assert!(
        problems
            .iter()
            .any(|p| p.line == Some(2) && p.message.contains("suplier")),
        "{problems:?}"
    );
}

#[test]
fn contracts_round_trip_through_toml() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let registry = load(dir.path(), &profiles()).0.unwrap();
    let text = toml::to_string(&registry.contracts[0]).unwrap();
    let back: SupplyContract = toml::from_str(&text).unwrap();
    assert_eq!(back, registry.contracts[0]);
}

#[test]
fn a_contract_may_have_its_own_season() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let with = |season: &str| {
        let text = CONTRACT.replace("[[contract.comp", &format!("{season}\n[[contract.comp"));
        fs::write(dir.path().join("contracts.toml"), text).unwrap();
        load(dir.path(), &profiles())
    };
    let (registry, problems) = with("season = { from = \"11-15\", to = \"03-15\" }");
    assert_eq!(problems, []);
    let contract = &registry.unwrap().contracts[0];
    let season = contract.season.as_ref().unwrap();
    assert_eq!(season.from.to_string(), "11-15");
    let text = toml::to_string(contract).unwrap();
    assert_eq!(toml::from_str::<SupplyContract>(&text).unwrap(), *contract);
    let far = "exceptions = [{ from = \"2026-08-01\", to = \"2026-12-01\" }]";
    let far = with(&format!(
        "season = {{ from = \"11-15\", to = \"03-15\", {far} }}"
    ))
    .1;
    assert_eq!(far[0].code, "registry.contract_season", "{far:?}");
}

#[test]
fn a_company_may_leave_its_heating_season_out() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let with = |from: &str| {
        let text = COMPANY.replace("heating_from = \"11-15\"\n", from);
        let text = text.replace("heating_to = \"03-15\"\n", "");
        fs::write(dir.path().join("company.toml"), text).unwrap();
        load(dir.path(), &profiles())
    };
    let (registry, problems) = with("");
    assert_eq!(problems, []);
    assert_eq!(registry.unwrap().company.heating(), None);
    let half = with("heating_from = \"11-15\"\n").1;
    assert_eq!(
        half[0].code, "registry.heating_season",
        "one without the other"
    );
}

#[test]
fn columns_are_the_fields_of_the_domain_types() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let registry = load(dir.path(), &profiles()).0.unwrap();
    let header = |row: csv::Result<Vec<u8>>| {
        let text = String::from_utf8(row.unwrap()).unwrap();
        text.lines().next().unwrap().to_owned()
    };
    let customer = registry.customers.values().next().unwrap();
    let meter = registry.meters.values().next().unwrap();
    assert_eq!(header(write(customer)), columns::CUSTOMERS.join(","));
    assert_eq!(
        header(write(meter)),
        [columns::METERS, columns::METERS_MORE].concat().join(",")
    );
    assert_eq!(
        header(write(&registry.shares[0])),
        columns::SHARES.join(",")
    );
    assert_eq!(
        header(write(registry.zones.values().next().unwrap())),
        [columns::ZONES, columns::ZONES_MORE].concat().join(",")
    );
    assert_eq!(
        header(write(registry.sources.values().next().unwrap())),
        columns::SOURCES.join(",")
    );
}

fn write<T: serde::Serialize>(value: &T) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.serialize(value)?;
    Ok(writer.into_inner().unwrap())
}

/// Factories that got gas lately, with a meter each, and a connected project that names none of them.
fn with_project(project: &str, customers: &[&str]) -> (Registry, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
    let meters: Vec<String> = (0..customers.len())
        .map(|i| {
            let id = i + 10;
            METER.replace("M1,D1,K1", &format!("M{id},D{id},K{id}"))
        })
        .collect();
    let customers: Vec<String> = (10..)
        .zip(customers)
        .map(|(id, customer)| {
            let [name, flow, on] = customer.split('|').collect::<Vec<_>>()[..] else {
                panic!("{customer}")
            };
            let row = CUSTOMER.replace("K1,Works", &format!("K{id},{name}"));
            row.replace("120.0", flow).replace("2020-01-01", on)
        })
        .collect();
    let table = |columns: &[&str], first: &str, rows: &[String]| {
        format!("{}\n{first}\n{}\n", columns.join(","), rows.join("\n"))
    };
    write(
        "customers.csv",
        table(columns::CUSTOMERS, CUSTOMER, &customers),
    );
    write("meters.csv", table(columns::METERS, METER, &meters));
    let all = [columns::CONNECTIONS, &["design_flow_m3h", "customer"]].concat();
    write(
        "new_connections.csv",
        format!("{}\n{project}\n", all.join(",")),
    );
    let (registry, problems) = load(dir.path(), &profiles());
    let said = problems
        .iter()
        .map(|p| format!("{}: {}", p.code, p.message));
    (registry.unwrap(), said.collect())
}

#[test]
fn a_connected_project_without_customer_is_recognised_where_there_is_no_doubt() {
    let project = |name: &str, flow: &str, customer: &str| {
        format!(
            "P1,{name},north,industrial,connected,2026-09-01,10000,0.6,2026-08-01T00:00:00Z,{flow},{customer}"
        )
    };
    let customer = |registry: &Registry| registry.new_connections[0].customer.clone();
    // By name, whatever its spaces and brackets.
    let names = ["宏达陶瓷(北区)|80|2026-01-05", "别家|900|2026-09-01"];
    let (registry, said) = with_project(&project("宏达陶瓷（北区） ", "", ""), &names);
    assert_eq!(customer(&registry), Some("K10".into()));
    assert!(
        said.len() == 1 && said[0].starts_with("registry.connection_customer_recognised"),
        "{said:?}"
    );
    // By design flow and date, if only one fits.
    let others = [
        "甲|410|2026-09-12",
        "乙|300|2026-09-12",
        "丙|410|2026-01-05",
    ];
    let (registry, said) = with_project(&project("新厂", "400", ""), &others);
    assert_eq!(customer(&registry), Some("K10".into()), "{said:?}");
    // Two fit: nobody is taken, both are named.
    let twins = ["甲|410|2026-09-12", "乙|395|2026-08-12"];
    let (registry, said) = with_project(&project("新厂", "400", ""), &twins);
    assert_eq!(customer(&registry), None);
    assert!(
        said.len() == 1
            && said[0].starts_with("registry.connection_customer_unclear")
            && said[0].contains("`K10`, `K11`"),
        "{said:?}"
    );
    // Nobody got gas at the time, or the row names its customer: nothing is said.
    for (row, want) in [
        (project("新厂", "400", ""), None),
        (project("新厂", "400", "K1"), Some("K1".into())),
    ] {
        let (registry, said) = with_project(&row, &["丙|410|2026-01-05"]);
        assert_eq!((customer(&registry), said), (want, Vec::new()));
    }
}

/// Of M1, which has readings that were settled by what [`METER`] says.
#[test]
fn a_meter_with_readings_is_settled_by_the_same_unless_its_row_was_wrong() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let (registry, _) = load(dir.path(), &profiles());
    let m1 = MeterId::from("M1");
    let of_m1 = registry.unwrap().meters[&m1].terms();
    let mut in_use = BTreeMap::from([(m1.clone(), of_m1)]);
    let header = [columns::METERS, &["removed_on", "corrected_at"]]
        .concat()
        .join(",");
    let said = |rows: &[String], in_use: &BTreeMap<MeterId, MeteringTerms>| {
        let text = format!("{header}\n{}\n", rows.join("\n"));
        fs::write(dir.path().join("meters.csv"), text).unwrap();
        super::load(dir.path(), &profiles(), in_use, now()).1
    };
    let (end, corrected) = (",,", ",,2026-11-20T09:00:00+08:00");
    assert_eq!(said(&[format!("{METER}{end}")], &in_use), []);
    for (from, to, what) in [
        (
            ",std,9,400,1,",
            ",work,9,400,1,",
            "`settlement` from std to work",
        ),
        (
            ",std,9,400,1,",
            ",std,8,400,1,",
            "`total_digits` from 9 to 8",
        ),
        (
            ",std,9,400,1,",
            ",std,9,650,1,",
            "`flow_max_m3h` from 400 to 650",
        ),
        (
            ",std,9,400,1,",
            ",std,9,400,1.02,",
            "`fixed_factor` from 1 to 1.02",
        ),
    ] {
        let changed = METER.replace(from, to);
        let problems = said(&[format!("{changed}{end}")], &in_use);
        let [problem] = &problems[..] else {
            panic!("{what}: {problems:?}");
        };
        assert_eq!(
            (problem.line, problem.code, problem.is_warning),
            (Some(2), "registry.meter_terms_changed", false)
        );
        assert!(problem.message.contains(what), "{problem}");
        assert!(problem.remedy.contains("removed_on"), "{problem}");
        // Where nothing was settled yet, where the row was wrong, and where another continues its place.
        assert_eq!(said(&[format!("{changed}{end}")], &BTreeMap::new()), []);
        assert_eq!(said(&[format!("{changed}{corrected}")], &in_use), []);
        let rows = [
            format!("{METER},2026-11-19,"),
            changed
                .replace("M1,", "M1a,")
                .replace("2020-01-01", "2026-11-20")
                + end,
        ];
        assert_eq!(said(&rows, &in_use), []);
    }
    // A correction is good for once.
    let of_m1 = in_use.get_mut(&m1).unwrap();
    of_m1.corrected_at = Some("2026-11-20T01:00:00Z".parse().unwrap());
    let again = format!("{}{corrected}", METER.replace(",9,400,1,", ",9,400,1.1,"));
    let problems = said(&[again], &in_use);
    assert_eq!(problems[0].code, "registry.meter_terms_changed");
    let early = format!("{METER},,2026-11-28T09:00:00+08:00");
    assert_eq!(said(&[early], &in_use)[0].code, "registry.meter_dates");
}

#[test]
fn a_gas_quality_may_have_its_whole_analysis_and_a_corrector_its_method() {
    let dir = tempfile::tempdir().unwrap();
    write_valid(dir.path());
    let header = [columns::QUALITIES, columns::QUALITIES_MORE]
        .concat()
        .join(",");
    let write = |composition: &str, method: &str| {
        let row = format!("north,2026-01-01,40.66,0.581,0.006,0,{composition}");
        fs::write(
            dir.path().join("gas_quality.csv"),
            format!("{header}\n{row}\n"),
        )
        .unwrap();
        let header = [columns::METERS, &["corrector_method"]].concat().join(",");
        let text = format!("{header}\n{METER},{method}\n");
        fs::write(dir.path().join("meters.csv"), text).unwrap();
        load(dir.path(), &profiles())
    };
    let (registry, problems) = write("", "");
    assert_eq!(problems, vec![]);
    let registry = registry.unwrap();
    assert_eq!(registry.gas_qualities[0].composition, None);
    let m1 = MeterId::from("M1");
    assert_eq!(registry.meters[&m1].corrector_method, None);
    let (registry, problems) = write("CH4:0.96;N2:0.01;C2H6:0.03", "nx19");
    assert_eq!(problems, vec![]);
    let registry = registry.unwrap();
    let composition = registry.gas_qualities[0].composition.clone().unwrap();
    assert_eq!(composition.fractions().len(), 3);
    let method = registry.meters[&m1].corrector_method;
    assert_eq!(method, Some(CorrectorMethod::Nx19));
    let (_, problems) = write("CH4:0.96;N2:0.01", "aga-8");
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for part in ["add up to 0.970000", "`aga-8` is no method; write aga8"] {
        assert!(
            said.iter().any(|line| line.contains(part)),
            "{part}: {said:?}"
        );
    }
    let (registry, _) = write("", "1.02");
    let method = registry.unwrap().meters[&m1].corrector_method;
    assert_eq!(method, Some(CorrectorMethod::FixedK(1.02)));
}
