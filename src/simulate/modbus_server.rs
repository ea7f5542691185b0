//! The city's Modbus gateways: real TCP servers whose registers stand at the clock's time.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::id::GatewayId;
use crate::simulate::SimulateError;
use crate::simulate::city::City;
use crate::simulate::site::Wire;
use crate::simulate::wire::{FX_COUNT, FX_START, fx_registers};

/// Serves a gateway's units on `listener` until `stop` is cancelled.
///
/// Functions 3 and 4 read registers 000Ah to 001Dh of each unit. Any other address is answered by
/// exception 2, any other function by exception 1, an unknown unit by exception 0Bh. In a scripted
/// outage new connections are closed at once and requests on old ones answered by exception 0Ah.
///
/// # Errors
/// A gateway that the city does not have; a listener that fails.
pub async fn run(
    city: Arc<City>,
    gateway: GatewayId,
    listener: TcpListener,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), SimulateError> {
    let sites = units_of(&city, &gateway)?;
    let service = Arc::new(Units {
        city,
        gateway: gateway.clone(),
        clock,
        sites,
    });
    let on_connected = |stream: TcpStream, peer: std::net::SocketAddr| {
        let service = Arc::clone(&service);
        async move {
            if service.is_out() {
                tracing::debug!(peer.address = %peer, "Refused a Modbus connection in a scripted outage");
                return Ok::<_, io::Error>(None);
            }
            stream.set_nodelay(true)?;
            Ok(Some((service, stream)))
        }
    };
    let on_process_error = |error: io::Error| {
        tracing::debug!(error = %error, "A Modbus connection ended");
    };
    let aborted = async move { stop.cancelled().await };
    Server::new(listener)
        .serve_until(&on_connected, on_process_error, aborted)
        .await
        .map(|_| ())
        .map_err(|source| SimulateError::ModbusServer {
            gateway: gateway.to_string(),
            source,
        })
}

fn units_of(city: &City, gateway: &GatewayId) -> Result<BTreeMap<u8, usize>, SimulateError> {
    if !city.gateways().iter().any(|g| g.id == *gateway) {
        let known: Vec<_> = city.gateways().iter().map(|g| g.id.as_str()).collect();
        return Err(SimulateError::UnknownGateway {
            gateway: gateway.to_string(),
            known: known.join(", "),
        });
    }
    Ok(city
        .sites()
        .iter()
        .enumerate()
        .filter(|(_, s)| s.wire == Wire::Modbus && s.meter.gateway.as_ref() == Some(gateway))
        .map(|(i, s)| (s.meter.unit, i))
        .collect())
}

#[derive(Debug)]
struct Units {
    city: Arc<City>,
    gateway: GatewayId,
    clock: Arc<dyn Clock>,
    sites: BTreeMap<u8, usize>,
}

impl Units {
    fn is_out(&self) -> bool {
        self.city
            .script()
            .outage_of(self.gateway.as_str(), self.clock.now())
            .is_some()
    }

    fn answer(&self, request: &SlaveRequest<'_>) -> Result<Response, ExceptionCode> {
        let now = self.clock.now();
        if self.is_out() {
            return Err(ExceptionCode::GatewayPathUnavailable);
        }
        let site = *self
            .sites
            .get(&request.slave)
            .ok_or(ExceptionCode::GatewayTargetDevice)?;
        match request.request {
            Request::ReadHoldingRegisters(start, count) => self
                .registers(site, start, count, now)
                .map(Response::ReadHoldingRegisters),
            Request::ReadInputRegisters(start, count) => self
                .registers(site, start, count, now)
                .map(Response::ReadInputRegisters),
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }

    fn registers(
        &self,
        site: usize,
        start: u16,
        count: u16,
        now: DateTime<Utc>,
    ) -> Result<Vec<u16>, ExceptionCode> {
        if !(1..=125).contains(&count) {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let from = start
            .checked_sub(FX_START)
            .ok_or(ExceptionCode::IllegalDataAddress)?;
        if u32::from(from) + u32::from(count) > u32::from(FX_COUNT) {
            return Err(ExceptionCode::IllegalDataAddress);
        }
        Ok(fx_registers(&self.city, site, now)
            .into_iter()
            .skip(usize::from(from))
            .take(usize::from(count))
            .collect())
    }
}

impl Service for Units {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(self.answer(&request))
    }
}
