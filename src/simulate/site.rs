//! The places where the city is metered: who lives or works there, by which meter, over which wire.

use chrono::{NaiveDate, TimeDelta};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;

use crate::domain::customer::{Customer, CustomerClass, PriceTier, SaleMode, ShiftPattern};
use crate::domain::id::{CustomerId, DeviceId, GatewayId, MeterId, ProfileId};
use crate::domain::meter::{Gateway, Meter, MeterKind, MeterRole, SettlementTotal};
use crate::domain::quantity::{StdVolume, YuanPerM3};
use crate::simulate::city::RING_KPA;
use crate::simulate::config::CityConfig;
use crate::simulate::load::LoadKind;
use crate::simulate::noise::{position, whole};
use crate::simulate::supply::ZONE_IDS;

/// How a meter speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    /// JSON over MQTT, profile `qiliang/json-push`.
    Json,
    /// CJ/T 188 frames inside MQTT payloads, profile `generic/cjt188-gas`.
    Cjt188,
    /// Modbus registers behind a gateway, profile `fuxin/fx-corrector`.
    Modbus,
}

impl Wire {
    /// The profile its frames are decoded with.
    pub const fn profile(self) -> &'static str {
        match self {
            Self::Json => "qiliang/json-push",
            Self::Cjt188 => "generic/cjt188-gas",
            Self::Modbus => "fuxin/fx-corrector",
        }
    }
}

/// A metered place.
#[derive(Debug, Clone)]
pub struct Site {
    /// The meter as the registry knows it.
    pub meter: Meter,
    /// Kind of use; none for a gate station.
    pub kind: Option<LoadKind>,
    /// Wire.
    pub wire: Wire,
    /// The gateway's level in MQTT topics, or the Modbus gateway's id.
    pub channel: String,
    /// Position of the customer.
    pub(crate) customer: Option<usize>,
    /// Position of the zone.
    pub(crate) zone: usize,
    /// Part of the volume of its kind (all industry together) that it takes.
    pub(crate) share: f64,
    /// Whether it also pushes readings between its daily frozen frames.
    pub(crate) is_live: bool,
    /// Total when the city begins, m³.
    pub(crate) start_m3: i64,
    /// Gauge pressure at a corrector, kPa; 0 where there is none.
    pub(crate) gauge_kpa: f64,
}

/// Everyone and everything in the city.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    pub(crate) customers: Vec<Customer>,
    pub(crate) sites: Vec<Site>,
    pub(crate) gateways: Vec<Gateway>,
    /// Customers on the ledger come first; this many.
    pub(crate) enterprises: usize,
}

/// Fixed factor of meters without corrector: 15 °C and 2.5 kPa gauge (domain.md §3.7, table 4).
pub(crate) const LOW_PRESSURE_FACTOR: f64 = 1.0425;
/// Modbus gateways of enterprises; each gate station has its own besides.
const MODBUS_GATEWAYS: usize = 4;
/// Part of industry that the ledger enterprises take.
const LEDGER_INDUSTRY_PART: f64 = 0.8;

const STAR_NAMES: [&str; 20] = [
    "天枢", "天璇", "天玑", "天权", "玉衡", "开阳", "摇光", "参宿", "心宿", "轩辕", "角宿", "毕宿",
    "星河", "紫微", "文昌", "织女", "河鼓", "北落", "南箕", "奎宿",
];
/// Product, industry by GB/T 4754.
const TRADES: [(&str, &str); 10] = [
    ("陶瓷", "非金属矿物制品业"),
    ("玻璃", "非金属矿物制品业"),
    ("铝材", "有色金属冶炼和压延加工业"),
    ("食品", "食品制造业"),
    ("纺织", "纺织业"),
    ("化工", "化学原料和化学制品制造业"),
    ("建材", "非金属矿物制品业"),
    ("机械", "通用设备制造业"),
    ("药业", "医药制造业"),
    ("酿造", "酒、饮料和精制茶制造业"),
];

/// Lays the city out. `year_m3` is what the whole city takes of each kind in a year.
pub(crate) fn lay_out(
    config: &CityConfig,
    year_m3: &dyn Fn(LoadKind) -> f64,
    commissioned_on: NaiveDate,
) -> Layout {
    let mut builder = Builder {
        config,
        rng: ChaCha8Rng::seed_from_u64(config.seed),
        layout: Layout::default(),
        year_m3,
        modbus_units: [0; MODBUS_GATEWAYS],
    };
    builder.gateways();
    builder.gate_stations();
    let meters = config.meters.max(30);
    let enterprises = config.enterprises.clamp(4, (meters / 7).max(4));
    builder.enterprises(enterprises, commissioned_on);
    let left = meters.saturating_sub(builder.layout.sites.len());
    builder.everyone_else(left);
    builder.layout.enterprises = enterprises;
    builder.layout
}

struct Builder<'a> {
    config: &'a CityConfig,
    rng: ChaCha8Rng,
    layout: Layout,
    year_m3: &'a dyn Fn(LoadKind) -> f64,
    modbus_units: [u8; MODBUS_GATEWAYS],
}

impl Builder<'_> {
    fn gateways(&mut self) {
        let names = (1..=MODBUS_GATEWAYS)
            .map(|i| format!("gw-m{i:02}"))
            .chain(ZONE_IDS.iter().map(|zone| format!("gw-gate-{zone}")));
        self.layout.gateways = names
            .zip(self.config.modbus_port..)
            .map(|(id, port)| {
                Gateway::tcp(GatewayId::new(id), self.config.modbus_host.clone(), port)
            })
            .collect();
    }

    fn gate_stations(&mut self) {
        for (zone, id) in ZONE_IDS.into_iter().enumerate() {
            let channel = format!("gw-gate-{id}");
            let meter = Meter {
                id: MeterId::new(format!("GATE-{id}")),
                device: DeviceId::new(format!("FX-GATE-{id}")),
                customer: None,
                zone: id.into(),
                role: MeterRole::Gate,
                kind: MeterKind::Turbine,
                profile: ProfileId::from(Wire::Modbus.profile()),
                settlement: SettlementTotal::Std,
                total_digits: 8,
                flow_max_m3h: 4_000.0,
                fixed_factor: 1.0,
                period_s: 300,
                gateway: Some(GatewayId::new(channel.clone())),
                unit: 1,
                installed_on: NaiveDate::from_ymd_opt(2016, 9, 1).unwrap_or_default(),
                removed_on: None,
                corrected_at: None,
                corrector_method: None,
            };
            self.layout.sites.push(Site {
                meter,
                kind: None,
                wire: Wire::Modbus,
                channel,
                customer: None,
                zone,
                share: 0.0,
                is_live: true,
                start_m3: 21_000_000 + 9_000_000 * i64::try_from(zone).unwrap_or(0),
                gauge_kpa: RING_KPA,
            });
        }
    }

    fn enterprises(&mut self, count: usize, commissioned_on: NaiveDate) {
        let kinds: Vec<LoadKind> = (0..count)
            .map(|i| match (i % 20, i % 3) {
                (9, _) => LoadKind::Commercial,
                (14, _) => LoadKind::Public,
                (0..=2, _) | (_, 0) => LoadKind::IndustryThree,
                (_, 1) => LoadKind::IndustryOne,
                _ => LoadKind::IndustryTwo,
            })
            .collect();
        let weight = |i: usize| 1.0 / (i as f64 + 1.4);
        let industry: f64 = (0..count)
            .filter(|i| kinds[*i].is_industry())
            .map(weight)
            .sum();
        for (i, kind) in kinds.into_iter().enumerate() {
            let share = if kind.is_industry() {
                LEDGER_INDUSTRY_PART * weight(i) / industry
            } else {
                0.03
            };
            // The last enterprise is the new plant.
            let connected_on = if i + 1 == count {
                commissioned_on
            } else {
                self.past_date()
            };
            let customer = self.enterprise(i, kind, share, connected_on);
            let zone = i % 2;
            let shares: &[f64] = if i % 3 == 1 { &[0.6, 0.4] } else { &[1.0] };
            for part in shares {
                self.corrector(customer, kind, zone, share * part, connected_on);
            }
        }
    }

    fn enterprise(
        &mut self,
        i: usize,
        kind: LoadKind,
        share: f64,
        connected_on: NaiveDate,
    ) -> usize {
        let (trade, industry) = match kind {
            LoadKind::Commercial => ("酒店", "住宿业"),
            LoadKind::Public => ("医院", "卫生"),
            _ => TRADES[i % TRADES.len()],
        };
        let star = STAR_NAMES[i % STAR_NAMES.len()];
        let round = i / STAR_NAMES.len();
        let series = if round == 0 { "" } else { "二" };
        let name = format!("{star}{trade}{series}厂(演示)")
            .replace("酒店厂", "酒店")
            .replace("医院厂", "医院")
            .replace("酒店二厂", "二酒店")
            .replace("医院二厂", "二医院");
        let annual_m3 = share * (self.year_m3)(kind);
        let day_m3 = annual_m3 / 365.0;
        let contract_annual = StdVolume::from_m3(whole(annual_m3 / 10_000.0).max(1) * 10_000);
        let discount = PriceTier::of(contract_annual)
            .discount_min()
            .unwrap_or(YuanPerM3(Decimal::new(15, 2)));
        let (shift, shiftable) = match kind {
            LoadKind::IndustryOne => (ShiftPattern::One, 0.12),
            LoadKind::IndustryTwo => (ShiftPattern::Two, 0.10),
            LoadKind::Public => (ShiftPattern::Three, 0.0),
            _ => (ShiftPattern::Three, 0.06),
        };
        let is_furnace = kind == LoadKind::IndustryThree;
        let class = kind.class();
        self.layout.customers.push(Customer {
            id: CustomerId::new(format!("E{:05}", i + 1)),
            contact_group: format!("演示群-{star}{trade}{series}"),
            name,
            class,
            zone: ZONE_IDS[i % 2].into(),
            households: 1,
            industry: industry.into(),
            grid: format!("网格{:02}", i % 8 + 1),
            account_manager: format!("客户经理{:02}", i % 6 + 1),
            sale_mode: SaleMode::Direct,
            design_flow_m3h: tenth(peak_flow(kind, day_m3) * 1.15),
            contract_annual,
            base_price: YuanPerM3(Decimal::new(345, 2)),
            agreed_discount: discount,
            shift,
            protection_rank: match kind {
                LoadKind::Public => 3,
                LoadKind::Commercial => 7,
                _ if is_furnace => 6,
                _ if i % 4 == 3 => 9,
                _ => 8,
            },
            is_interruptible: kind.is_industry() && !is_furnace && i % 4 == 3,
            shiftable_m3_per_day: tenth(day_m3 * shiftable),
            flow_min_safe_m3h: if is_furnace {
                tenth(day_m3 / 24.0 * 0.35)
            } else {
                0.0
            },
            is_nudge_opted_in: kind != LoadKind::Public && i % 5 != 4,
            ledger_reason: "用气量较大，人工列入".into(),
            connected_on,
        });
        self.layout.customers.len() - 1
    }

    /// A volume corrector of an enterprise: two in five are polled by Modbus, the rest push JSON.
    fn corrector(
        &mut self,
        customer: usize,
        kind: LoadKind,
        zone: usize,
        share: f64,
        installed_on: NaiveDate,
    ) {
        let index = self.layout.sites.len();
        let day_m3 = share * (self.year_m3)(kind) / 365.0;
        let gauge_kpa = if day_m3 > 5_000.0 { 400.0 } else { 200.0 };
        let is_modbus = index % 5 == 1 || index % 5 == 3;
        let (wire, channel, device, gateway, unit) = if is_modbus {
            let bus = index / 2 % MODBUS_GATEWAYS;
            self.modbus_units[bus] += 1;
            let unit = self.modbus_units[bus];
            let channel = format!("gw-m{:02}", bus + 1);
            let device = format!("FX-M{:02}-{unit:02}", bus + 1);
            let gateway = Some(GatewayId::new(channel.clone()));
            (Wire::Modbus, channel, device, gateway, unit)
        } else {
            let channel = format!("dtu-{:02}", index % 6 + 1);
            (Wire::Json, channel, format!("TX-{index:06}"), None, 0)
        };
        // Working flow is standard flow over a factor of about 3 or 5.
        let factor = 1.0 + gauge_kpa / 101.325;
        let start_m3 = if installed_on > self.config.start_on().0 {
            0
        } else {
            self.rng.random_range(400_000..9_000_000)
        };
        self.push(Place {
            customer,
            kind,
            wire,
            channel,
            device,
            zone,
            share,
            is_live: true,
            start_m3,
            gauge_kpa,
            gateway,
            unit,
            build: if day_m3 > 3_000.0 {
                MeterKind::Turbine
            } else {
                MeterKind::Rotary
            },
            settlement: SettlementTotal::Std,
            total_digits: 8,
            flow_max_m3h: (peak_flow(kind, day_m3) * 1.6 / factor).ceil(),
            fixed_factor: 1.0,
            period_s: if is_modbus { 300 } else { 900 },
            installed_on,
        });
    }

    fn everyone_else(&mut self, left: usize) {
        let part = |ratio: f64| position(whole(left as f64 * ratio)).max(2);
        let groups = [
            (LoadKind::Heating, part(0.18)),
            (LoadKind::Commercial, part(0.24)),
            (LoadKind::IndustryThree, part(0.014)),
            (LoadKind::IndustryTwo, part(0.021)),
            (LoadKind::IndustryOne, part(0.035)),
            (LoadKind::Public, part(0.06)),
            (LoadKind::Vehicle, part(0.03)),
        ];
        let taken: usize = groups.iter().map(|g| g.1).sum();
        let cooking = (LoadKind::Cooking, left.saturating_sub(taken).max(2));
        for (kind, count) in std::iter::once(cooking).chain(groups) {
            let ledger: f64 = self
                .layout
                .sites
                .iter()
                .filter(|s| s.kind == Some(kind) && !kind.is_industry())
                .map(|s| s.share)
                .sum();
            let whole_part = match kind {
                LoadKind::IndustryThree => (1.0 - LEDGER_INDUSTRY_PART) * 0.2,
                LoadKind::IndustryTwo => (1.0 - LEDGER_INDUSTRY_PART) * 0.3,
                LoadKind::IndustryOne => (1.0 - LEDGER_INDUSTRY_PART) * 0.5,
                _ => 1.0 - ledger,
            };
            let weights: Vec<f64> = (0..count)
                .map(|_| self.rng.random_range(0.5..1.5))
                .collect();
            let sum: f64 = weights.iter().sum();
            let households = match kind {
                LoadKind::Heating => self.config.households / 4,
                LoadKind::Cooking => self.config.households - self.config.households / 4,
                _ => 0,
            };
            let of_each = crate::domain::quantity::round_to_total(&weights, households.into());
            for (i, weight) in weights.iter().enumerate() {
                let share = whole_part * weight / sum;
                // Eleven of twenty in the first zone, and the first two in either.
                let zone = if i < 2 { i } else { usize::from(i % 20 >= 11) };
                let households = u32::try_from(of_each[i]).unwrap_or(1);
                self.small_customer(kind, i, zone, share, households);
            }
        }
    }

    fn small_customer(
        &mut self,
        kind: LoadKind,
        i: usize,
        zone: usize,
        share: f64,
        households: u32,
    ) {
        let day_m3 = share * (self.year_m3)(kind) / 365.0;
        let index = self.layout.sites.len();
        let is_home = matches!(kind, LoadKind::Cooking | LoadKind::Heating);
        let class = match kind {
            LoadKind::Public if i % 2 == 1 => CustomerClass::PublicResidential,
            _ => kind.class(),
        };
        let connected_on = self.past_date();
        let name = match kind {
            LoadKind::Cooking => format!("演示小区{:03}号楼栋", i + 1),
            LoadKind::Heating => format!("演示壁挂炉小区{:03}号楼栋", i + 1),
            LoadKind::Commercial => format!("演示商户{:03}", i + 1),
            LoadKind::Public if i % 2 == 1 => format!("演示学校{:02}", i + 1),
            LoadKind::Public => format!("演示机关{:02}", i + 1),
            LoadKind::Vehicle => format!("演示加气站{:02}", i + 1),
            _ => format!("演示小型工厂{index:04}"),
        };
        self.layout.customers.push(Customer {
            id: CustomerId::new(format!("C{index:06}")),
            name,
            class,
            zone: ZONE_IDS[zone].into(),
            households: if is_home { households } else { 1 },
            industry: match kind {
                LoadKind::Commercial => "餐饮业".into(),
                LoadKind::Public => "教育与公共管理".into(),
                LoadKind::Vehicle => "机动车燃料零售".into(),
                _ if kind.is_industry() => "其他制造业".into(),
                _ => String::new(),
            },
            grid: format!("网格{:02}", i % 8 + 1),
            account_manager: if is_home {
                String::new()
            } else {
                format!("客户经理{:02}", i % 6 + 1)
            },
            contact_group: String::new(),
            sale_mode: SaleMode::Direct,
            design_flow_m3h: tenth(peak_flow(kind, day_m3) * 1.15),
            contract_annual: StdVolume::ZERO,
            base_price: YuanPerM3(match class {
                CustomerClass::ResidentialCooking
                | CustomerClass::ResidentialHeating
                | CustomerClass::PublicResidential => Decimal::new(238, 2),
                CustomerClass::VehicleCng => Decimal::new(360, 2),
                _ => Decimal::new(352, 2),
            }),
            agreed_discount: YuanPerM3(Decimal::ZERO),
            shift: match kind {
                LoadKind::IndustryOne => ShiftPattern::One,
                LoadKind::IndustryTwo => ShiftPattern::Two,
                _ => ShiftPattern::Three,
            },
            protection_rank: match (kind, class) {
                (LoadKind::Cooking, _) => 1,
                (LoadKind::Heating, _) => 2,
                (_, CustomerClass::PublicResidential) => 3,
                (LoadKind::Vehicle, _) => 4,
                (LoadKind::Public, _) => 5,
                (LoadKind::Commercial, _) => 7,
                _ => 8,
            },
            is_interruptible: false,
            shiftable_m3_per_day: 0.0,
            flow_min_safe_m3h: 0.0,
            is_nudge_opted_in: false,
            ledger_reason: String::new(),
            connected_on,
        });
        let customer = self.layout.customers.len() - 1;
        self.small_meter(customer, kind, i, zone, share);
    }

    /// A meter without corrector: one commercial in eight speaks CJ/T 188, the rest push JSON.
    fn small_meter(&mut self, customer: usize, kind: LoadKind, i: usize, zone: usize, share: f64) {
        let index = self.layout.sites.len();
        let day_m3 = share * (self.year_m3)(kind) / 365.0;
        let installed_on = self.layout.customers[customer].connected_on;
        let is_cjt188 = kind == LoadKind::Commercial && i % 8 == 3;
        let is_live = match kind {
            LoadKind::Cooking | LoadKind::Heating => i.is_multiple_of(10),
            LoadKind::Commercial => is_cjt188 || i.is_multiple_of(4),
            _ => true,
        };
        let (wire, device, digits) = if is_cjt188 {
            (Wire::Cjt188, format!("{:014}", 80_500_000 + index), 6)
        } else {
            (Wire::Json, format!("TX-{index:06}"), 8)
        };
        let channel = format!("nb-{:02}", index % (self.config.meters / 250 + 2) + 1);
        let start_m3 = self.rng.random_range(2_000..60_000);
        let factor = if is_cjt188 { LOW_PRESSURE_FACTOR } else { 1.0 };
        self.push(Place {
            customer,
            kind,
            wire,
            channel,
            device,
            zone,
            share,
            is_live,
            start_m3,
            gauge_kpa: 0.0,
            gateway: None,
            unit: 0,
            build: if is_cjt188 {
                MeterKind::Diaphragm
            } else {
                MeterKind::Ultrasonic
            },
            settlement: if is_cjt188 {
                SettlementTotal::Work
            } else {
                SettlementTotal::Std
            },
            total_digits: digits,
            flow_max_m3h: (peak_flow(kind, day_m3) * 1.8).ceil(),
            fixed_factor: factor,
            period_s: if is_live { 3_600 } else { 86_400 },
            installed_on,
        });
    }

    fn push(&mut self, place: Place) {
        let meter = Meter {
            id: MeterId::new(format!("M{:06}", self.layout.sites.len())),
            device: DeviceId::new(place.device),
            customer: Some(self.layout.customers[place.customer].id.clone()),
            zone: ZONE_IDS[place.zone].into(),
            role: MeterRole::Customer,
            kind: place.build,
            profile: ProfileId::from(place.wire.profile()),
            settlement: place.settlement,
            total_digits: place.total_digits,
            flow_max_m3h: place.flow_max_m3h,
            fixed_factor: place.fixed_factor,
            period_s: place.period_s,
            gateway: place.gateway,
            unit: place.unit,
            installed_on: place.installed_on,
            removed_on: None,
            corrected_at: None,
            corrector_method: None,
        };
        self.layout.sites.push(Site {
            meter,
            kind: Some(place.kind),
            wire: place.wire,
            channel: place.channel,
            customer: Some(place.customer),
            zone: place.zone,
            share: place.share,
            is_live: place.is_live,
            start_m3: place.start_m3,
            gauge_kpa: place.gauge_kpa,
        });
    }

    fn past_date(&mut self) -> NaiveDate {
        let first = NaiveDate::from_ymd_opt(2012, 1, 1).unwrap_or_default();
        let until = (self.config.start_on().0 - first).num_days() - 30;
        first + TimeDelta::days(self.rng.random_range(0..until.max(1)))
    }
}

struct Place {
    customer: usize,
    kind: LoadKind,
    wire: Wire,
    channel: String,
    device: String,
    zone: usize,
    share: f64,
    is_live: bool,
    start_m3: i64,
    gauge_kpa: f64,
    gateway: Option<GatewayId>,
    unit: u8,
    build: MeterKind,
    settlement: SettlementTotal,
    total_digits: u32,
    flow_max_m3h: f64,
    fixed_factor: f64,
    period_s: u32,
    installed_on: NaiveDate,
}

/// Largest hourly flow to expect of a place, m³/h: deep frost, a good day, the peak hour.
fn peak_flow(kind: LoadKind, day_m3: f64) -> f64 {
    let peak_share = kind.hour_shares().iter().copied().fold(0.0, f64::max);
    let cold = match kind {
        LoadKind::Heating => 5.5,
        LoadKind::Commercial | LoadKind::Public => 1.9,
        _ => 1.6,
    };
    day_m3 * cold * peak_share
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
