//! The integration tests, one binary; folders as in `src/`.

#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::disallowed_methods,
    reason = "what sets a test up fails it, speaks aloud, and looks at other processes"
)]

mod support;

mod architecture;
mod backup;
mod bad_input;
mod balance;
mod collection;
mod crash;
mod crash_matrix;
mod curve_edits;
mod customer_days;
mod estimation;
mod faults;
mod filings;
mod gas_leaks;
mod gates;
mod import;
mod influx;
mod journal;
mod judging;
mod listen;
mod local_calendar;
mod metering_terms;
mod modbus_faults;
mod modbus_peer;
mod modbus_values;
mod mqtt;
mod nominating;
mod nudging;
mod order;
mod outlook;
mod profiles;
mod push;
mod rejects;
mod rules;
mod runs;
mod serve;
mod simulate;
mod submissions;
mod weather;
mod years;
