//! The local calendar is read again at SIGHUP, whole or not at all.

use crate::support::daemon::Daemon;
use crate::support::site::Site;
use crate::support::wait_for;

const PLACE: &str = "[[place]]\nname = \"信阳\"\n";

#[test]
fn a_changed_calendar_is_taken_at_sighup_and_a_faulty_one_is_named_and_refused() {
    let site = Site::new(1);
    let config = site.config("");
    site.registry_file("local_calendar.toml", PLACE);
    let mut daemon = Daemon::start(&config, &site.data_dir());
    let address = daemon.address();
    let taken = |daemon: &Daemon| {
        let log = daemon.log();
        log.matches("Reloaded holidays and local calendar").count()
    };

    let heating = "heating = { from = \"11-15\", to = \"03-15\" }\n";
    site.registry_file("local_calendar.toml", &format!("{PLACE}{heating}"));
    daemon.signal("HUP");
    wait_for("the calendar to be taken", || {
        (taken(&daemon) == 1).then_some(())
    });

    let faulty = format!("{PLACE}{}", heating.replace("11-15", "11-31"));
    site.registry_file("local_calendar.toml", &faulty);
    daemon.signal("HUP");
    let line = daemon.logged("the calendar stays as it was");
    for part in [
        "local_calendar.toml:3",
        "write MM-DD",
        "reload.calendar_refused",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let notices = crate::curve_edits::ask(&address, "GET /api/v1/notices", "", "").body;
    assert!(
        notices.to_string().contains("reload.calendar_refused"),
        "{notices}"
    );

    // What stayed is the calendar of before: the same text again changes nothing, another one does.
    site.registry_file("local_calendar.toml", &format!("{PLACE}{heating}"));
    daemon.signal("HUP");
    let longer = heating.replace("03-15", "03-31");
    wait_for("the registry to be read again", || {
        let log = daemon.log();
        (log.matches("Reloaded registry and profiles").count() == 3).then_some(())
    });
    assert_eq!(taken(&daemon), 1);
    site.registry_file("local_calendar.toml", &format!("{PLACE}{longer}"));
    daemon.signal("HUP");
    wait_for("the mended calendar to be taken", || {
        (taken(&daemon) == 2).then_some(())
    });
}
