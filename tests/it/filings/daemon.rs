//! The same through the running daemon: ledger and rules follow what is entered, without a restart.

use super::*;

/// Totals of M0 that grow by 10 m³ an hour over the gas days before today, as a file.
fn readings(site: &Site, today: GasDay, days: i64) -> std::path::PathBuf {
    let first = GasDayClock::default().start_of(today.plus(-days));
    let mut text = String::from("device,sampled_at,BTotal\n");
    for hour in 0..=days * 24 {
        let at = first + TimeDelta::hours(hour);
        writeln!(text, "D0,{},{}", at.to_rfc3339(), 1_000 + hour * 10).unwrap();
    }
    let file = site.path().join("readings.csv");
    fs::write(&file, text).unwrap();
    file
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
fn ledger_and_rules_of_a_running_daemon_follow_what_is_entered() {
    let site = Site::new(2);
    let config = site.config("");
    let today = GasDayClock::default().day_of(Utc::now());
    let yesterday = today.plus(-1);
    let file = readings(&site, today, 4);
    let run = |arguments: &[&str]| {
        let all = [&["--config", config.to_str().unwrap()], arguments].concat();
        let output = qiliang(&all);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said, told)
    };
    assert_eq!(run(&["import", file.to_str().unwrap()]).0, Some(0));
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let get = |path: &str| ask(&address, &format!("GET /api/v1/{path}"), "", "").body;
    let post = |path: &str, body: &Value| {
        ask(
            &address,
            &format!("POST /api/v1/{path}"),
            "",
            &body.to_string(),
        )
    };
    let row_of = |customer: &str| -> Value {
        let ledger = get("ledger");
        let rows = ledger["rows"].as_array().unwrap();
        rows.iter()
            .find(|r| r["account_no"] == customer)
            .unwrap()
            .clone()
    };
    let deviations = || -> usize {
        let found = get("findings?rule=V26");
        let rows = found
            .as_array()
            .or_else(|| found["rows"].as_array())
            .unwrap();
        rows.len()
    };
    assert_eq!(row_of("K0")["plan_m3"], Value::Null);
    assert_eq!(deviations(), 0);

    // Half of what was used: known at once to the ledger, and a deviation to the rules.
    let entry = |m3: &str| {
        json!({
            "person": "计划员 李", "source": "电话", "reason": "补录",
            "rows": [{ "customer": "K0", "day": yesterday, "m3": m3 }],
        })
    };
    let answer = post("filed-plans", &entry("120"));
    assert_eq!(
        (answer.status, &answer.body["is_taken"]),
        (200, &json!(true)),
        "{}",
        answer.body
    );
    assert_eq!(
        row_of("K0")["plan_m3"],
        "120.0000",
        "no answer of before the entry"
    );
    assert_eq!(deviations(), 1);
    // A slip of the pen, mended.
    assert_eq!(post("filed-plans", &entry("240")).status, 200);
    assert_eq!(row_of("K0")["plan_m3"], "240.0000");
    assert_eq!(deviations(), 0);

    let change = json!({
        "customer": "K0", "person": "王", "reason": "检修",
        "change": { "kind": "shutdown", "from_on": today, "to_on": today.plus(3), "delta_m3_per_day": -200.0,
                    "confidence": 0.9, "source": "微信" },
    });
    let entered = post("production-changes", &change);
    assert_eq!(entered.status, 200, "{}", entered.body);
    assert_eq!(row_of("K0")["change"]["kind"], "shutdown");
    let id = entered.body["id"].as_str().unwrap();
    let gone = post(
        &format!("production-changes/{id}"),
        &json!({ "person": "王", "reason": "取消", "change": null }),
    );
    assert_eq!(gone.body["state"], "withdrawn");
    assert_eq!(row_of("K0")["change"], Value::Null);
    assert_eq!(get("production-changes").as_array().unwrap().len(), 0);
    assert_eq!(
        get("production-changes?all=true").as_array().unwrap().len(),
        1
    );
    let refused = post(
        "production-changes/B0",
        &json!({ "person": "王", "reason": "x" }),
    );
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (404, &json!("filing.change_missing"))
    );

    // A table by the command line goes through the daemon; what cannot be taken is told in Chinese.
    let month = today.month().next();
    let table = site.path().join("plans.csv");
    let csv = table.to_str().unwrap();
    let write = |rows: &str| fs::write(&table, format!("单位:m³\n户号,1,2,3\n{rows}\n")).unwrap();
    let of_month = month.to_string();
    let looked = [
        "plans",
        "import",
        csv,
        "--dry-run",
        "--month",
        of_month.as_str(),
    ];
    write("K0,240,250,x\nK7,1,1,1");
    let (code, said, told) = run(&looked);
    assert_eq!(code, Some(2), "{said}{told}");
    assert!(
        told.contains("D3 K0: 「x」不是用气量") && told.contains("没有户号为「K7」"),
        "{told}"
    );
    write("K0,240,250,260\nWorks 1,1,1,1");
    let (code, said, told) = run(&looked);
    assert_eq!(code, Some(0), "{said}{told}");
    assert!(
        said.contains("K0 Works 0") && said.contains("750.0000") && said.contains("6 新增"),
        "{said}"
    );
    let board = |days: i64| {
        let board = get(&format!("filed-plans?month={month}"));
        let rows = board["rows"].as_array().unwrap().clone();
        assert!(rows.iter().all(|r| r["days_filed"] == days), "{rows:?}");
    };
    board(0);
    let unsigned = run(&["plans", "import", csv, "--month", of_month.as_str()]);
    assert_eq!(
        unsigned.0,
        Some(2),
        "who, how and why must be said: {unsigned:?}"
    );
    let signed = [
        "--person",
        "李",
        "--source",
        "函件",
        "--reason",
        "月计划",
        "--en",
    ];
    let all = [
        &["plans", "import", csv, "--month", of_month.as_str()],
        &signed[..],
    ]
    .concat();
    let (code, said, told) = run(&all);
    assert_eq!(code, Some(0), "{said}{told}");
    assert!(
        said.contains("6 new") && said.contains("known from"),
        "{said}"
    );
    assert!(told.contains("asking the running daemon"), "{told}");
    board(3);
    let plans = get(&format!(
        "filed-plans/K0?from={}&to={}",
        month.first_day(),
        month.first_day()
    ));
    assert_eq!(plans["days"][0]["plan_m3"], "240.0000");
    assert_eq!(plans["entries"][0]["file"], "plans.csv");

    // Larger than whatever else is sent, and still taken; what is larger than a table is not.
    let many: Vec<Value> = (0..2_000)
        .map(|i| json!({ "customer": "K1", "day": today.plus(i % 300), "m3": "1" }))
        .collect();
    let mut large = entry("1");
    large["rows"] = json!(many);
    large["dry_run"] = json!(true);
    let answer = post("filed-plans", &large);
    assert_eq!(
        (answer.status, &answer.body["counts"]["problem"]),
        (200, &json!(1_700))
    );

    // Stopped, the same command writes for itself; nothing is entered into the past.
    assert!(daemon.stop().success());
    write("K0,241,250,260");
    let past = [&["--at", "2026-01-01T00:00:00Z"], &all[..]].concat();
    let (code, _, told) = run(&past);
    assert!(code == Some(1) && told.contains("--at"), "{told}");
    let (code, said, told) = run(&all);
    assert_eq!(code, Some(0), "{said}{told}");
    assert!(said.contains("1 changed, 2 unchanged"), "{said}");
    let (code, said, told) = run(&["verify"]);
    assert_eq!(code, Some(0), "{said}{told}");
}

#[test]
fn an_announced_stop_entered_while_the_daemon_runs_takes_its_findings_back() {
    let site = Site::new(1);
    let config = site.config("");
    let today = GasDayClock::default().day_of(Utc::now());
    // Use for two weeks, then none for two.
    let first = GasDayClock::default().start_of(today.plus(-28));
    let mut text = String::from("device,sampled_at,BTotal\n");
    for hour in 0..=28 * 24 {
        let at = first + TimeDelta::hours(hour);
        writeln!(
            text,
            "D0,{},{}",
            at.to_rfc3339(),
            1_000 + hour.min(14 * 24) * 10
        )
        .unwrap();
    }
    let file = site.path().join("readings.csv");
    fs::write(&file, text).unwrap();
    let all = [
        "--config",
        config.to_str().unwrap(),
        "import",
        file.to_str().unwrap(),
    ];
    assert!(qiliang(&all).status.success());
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let silent = || -> usize {
        let found = ask(&address, "GET /api/v1/findings?rule=V10", "", "").body;
        let rows = found
            .as_array()
            .or_else(|| found["rows"].as_array())
            .unwrap();
        rows.len()
    };
    assert!(
        silent() > 0,
        "days without gas and without a word are asked about"
    );
    let change = json!({
        "customer": "K0", "person": "王", "reason": "停产通知晚到",
        "change": { "kind": "shutdown", "from_on": today.plus(-14), "to_on": today.plus(10),
                    "delta_m3_per_day": -240.0, "confidence": 1.0, "source": "函件" },
    });
    let body = change.to_string();
    let entered = ask(&address, "POST /api/v1/production-changes", "", &body);
    assert_eq!(entered.status, 200, "{}", entered.body);
    wait_for("the days of the stop to be judged again", || {
        (silent() == 0).then_some(())
    });
}
