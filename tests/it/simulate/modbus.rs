//! The city's gateways, asked by a Modbus client.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chrono::TimeDelta;
use qiliang::clock::{Clock, ManualClock};
use qiliang::simulate::{FX_COUNT, FX_START, FaultKind, Wire, modbus_server};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_modbus::client::{Context, Reader as _, tcp};
use tokio_modbus::{ExceptionCode, Slave};
use tokio_util::sync::CancellationToken;

use super::city;

/// The number whose decimal digits the registers' hexadecimal digits are.
fn bcd(registers: &[u16]) -> i64 {
    registers.iter().fold(0, |number, register| {
        (0..4).rev().fold(number, |number, nibble| {
            number * 10 + i64::from(register >> (4 * nibble) & 0xf)
        })
    })
}

async fn modbus_client(address: SocketAddr, unit: u8) -> Context {
    tcp::connect_slave(address, Slave(unit)).await.unwrap()
}

#[tokio::test]
async fn a_gateway_answers_a_modbus_client_at_the_time_of_the_clock() {
    let city = Arc::new(city());
    let (index, site) = city
        .sites()
        .iter()
        .enumerate()
        .find(|(_, s)| s.wire == Wire::Modbus && s.kind.is_some())
        .unwrap();
    let gateway = site.meter.gateway.clone().unwrap();
    let start = city.config().now_at + TimeDelta::hours(8);
    let clock = Arc::new(ManualClock::new(start));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(modbus_server::run(
        Arc::clone(&city),
        gateway,
        listener,
        Arc::clone(&clock) as Arc<dyn Clock>,
        stop.clone(),
    ));
    let mut client = modbus_client(address, site.meter.unit).await;
    for minutes in [0, 25] {
        let at = start + TimeDelta::minutes(minutes);
        clock.set(at);
        let registers = client
            .read_holding_registers(FX_START, FX_COUNT)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(registers.len(), 20);
        assert_eq!(bcd(&registers[8..11]), city.shown(index, at).std_units);
        assert_eq!(bcd(&registers[13..16]), city.shown(index, at).work_units);
        assert_eq!(
            client.read_input_registers(FX_START + 8, 3).await.unwrap(),
            Ok(registers[8..11].to_vec())
        );
    }
    for (start, count) in [(0, 2), (FX_START, FX_COUNT + 1), (FX_START + FX_COUNT, 1)] {
        assert_eq!(
            client.read_holding_registers(start, count).await.unwrap(),
            Err(ExceptionCode::IllegalDataAddress),
            "{start} {count}"
        );
    }
    assert_eq!(
        client.read_coils(0, 1).await.unwrap(),
        Err(ExceptionCode::IllegalFunction)
    );
    let mut stranger = modbus_client(address, 200).await;
    assert_eq!(
        stranger.read_holding_registers(FX_START, 2).await.unwrap(),
        Err(ExceptionCode::GatewayTargetDevice)
    );
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_two_totals_of_a_corrector_disagree_once() {
    let city = Arc::new(city());
    let fault = city
        .faults()
        .into_iter()
        .filter(|f| f.kind == FaultKind::DualTotalMismatch)
        .find(|f| f.from_at > city.config().now_at)
        .unwrap();
    let site = city
        .sites()
        .iter()
        .find(|s| s.meter.id.as_str() == fault.target)
        .unwrap();
    let clock = Arc::new(ManualClock::new(fault.from_at));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(modbus_server::run(
        Arc::clone(&city),
        site.meter.gateway.clone().unwrap(),
        listener,
        Arc::clone(&clock) as Arc<dyn Clock>,
        stop.clone(),
    ));
    let mut client = modbus_client(address, site.meter.unit).await;
    let mut difference = async || {
        let r = client
            .read_holding_registers(FX_START, FX_COUNT)
            .await
            .unwrap()
            .unwrap();
        let float = f32::from_bits(u32::from(r[2]) << 16 | u32::from(r[3]));
        f64::from(float) - bcd(&r[8..11]) as f64 / 10_000.0
    };
    assert!((difference().await - 60_000.0).abs() < 2.0);
    clock.set(fault.to_at);
    assert!(difference().await.abs() < 2.0);
    stop.cancel();
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_unknown_gateway_is_named_with_those_there_are() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let city = Arc::new(city());
    let clock = Arc::new(ManualClock::new(city.config().now_at));
    let stop = CancellationToken::new();
    let error = modbus_server::run(city, "gw-x".into(), listener, clock, stop)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("gw-x") && text.contains("gw-m01"), "{text}");
}
