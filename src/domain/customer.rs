//! Customers (用户): class, size, price tier, protection.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::domain::demand::DemandNode;
use crate::domain::id::{CustomerId, ZoneId};
use crate::domain::quantity::{StdVolume, YuanPerM3};

/// Customer class (用户类别), by use; the price class may differ. domain.md §10.A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerClass {
    /// 居民(炊事热水)
    ResidentialCooking,
    /// 居民分户采暖
    ResidentialHeating,
    /// 集中供热
    DistrictHeating,
    /// 工业
    Industrial,
    /// 商业
    Commercial,
    /// 公福(执行居民价)
    PublicResidential,
    /// 公福(非居民价)
    PublicService,
    /// 车用CNG
    VehicleCng,
    /// 车用LNG
    VehicleLng,
    /// 分布式能源
    DistributedEnergy,
    /// 电厂
    Power,
    /// 代输/转供
    Wheeling,
    /// 供销差与自用
    Unaccounted,
}

impl CustomerClass {
    /// Every class, in the order of the declaration's sheet 3.
    pub const ALL: [Self; 13] = [
        Self::ResidentialCooking,
        Self::ResidentialHeating,
        Self::DistrictHeating,
        Self::Industrial,
        Self::Commercial,
        Self::PublicResidential,
        Self::PublicService,
        Self::VehicleCng,
        Self::VehicleLng,
        Self::DistributedEnergy,
        Self::Power,
        Self::Wheeling,
        Self::Unaccounted,
    ];

    /// The key used in JSON, SQL, CSV and locale files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ResidentialCooking => "residential_cooking",
            Self::ResidentialHeating => "residential_heating",
            Self::DistrictHeating => "district_heating",
            Self::Industrial => "industrial",
            Self::Commercial => "commercial",
            Self::PublicResidential => "public_residential",
            Self::PublicService => "public_service",
            Self::VehicleCng => "vehicle_cng",
            Self::VehicleLng => "vehicle_lng",
            Self::DistributedEnergy => "distributed_energy",
            Self::Power => "power",
            Self::Wheeling => "wheeling",
            Self::Unaccounted => "unaccounted",
        }
    }

    /// The class of a key, if there is one.
    pub fn from_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.key() == key)
    }

    /// The name on Chinese forms.
    pub const fn name_zh(self) -> &'static str {
        match self {
            Self::ResidentialCooking => "居民(非采暖)",
            Self::ResidentialHeating => "居民采暖(壁挂炉)",
            Self::DistrictHeating => "集中供热",
            Self::Industrial => "工业",
            Self::Commercial => "商业",
            Self::PublicResidential => "公福(居民价)",
            Self::PublicService => "公福(非居)",
            Self::VehicleCng => "车用CNG",
            Self::VehicleLng => "车用LNG",
            Self::DistributedEnergy => "分布式能源",
            Self::Power => "电厂",
            Self::Wheeling => "转供·代输",
            Self::Unaccounted => "损耗与自用",
        }
    }

    /// Whether use follows the temperature.
    pub const fn is_heating(self) -> bool {
        matches!(self, Self::ResidentialHeating | Self::DistrictHeating)
    }

    /// Protected classes (居民、采暖、公福居民价) are never asked to cut or shift.
    pub const fn is_protected(self) -> bool {
        matches!(
            self,
            Self::ResidentialCooking
                | Self::ResidentialHeating
                | Self::DistrictHeating
                | Self::PublicResidential
                | Self::Unaccounted
        )
    }
}

/// Size by design hourly flow (规模等级): ≤ 20, (20, 50], > 50 m³/h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeClass {
    /// 小微
    Micro,
    /// 一般
    General,
    /// 大型
    Large,
}

impl SizeClass {
    /// The class of a design flow in m³/h.
    pub fn from_design_flow(m3h: f64) -> Self {
        if m3h <= 20.0 {
            Self::Micro
        } else if m3h <= 50.0 {
            Self::General
        } else {
            Self::Large
        }
    }
}

/// Volume-price tier (以量定价档位) of one year's use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceTier {
    /// Below 5 million m³: no discount.
    Tier0,
    /// From 5 million: at least 0.05 元/m³.
    Tier1,
    /// From 10 million to 15 million, both included: at least 0.10 元/m³.
    Tier2,
    /// Above 15 million: negotiated.
    Negotiated,
}

impl PriceTier {
    /// The tier of a year's volume; the lower bounds are inclusive, 15 million is still tier 2.
    pub fn of(annual: StdVolume) -> Self {
        if annual > StdVolume::from_m3(15_000_000) {
            Self::Negotiated
        } else if annual >= StdVolume::from_m3(10_000_000) {
            Self::Tier2
        } else if annual >= StdVolume::from_m3(5_000_000) {
            Self::Tier1
        } else {
            Self::Tier0
        }
    }

    /// The least discount of the tier; none where it is negotiated.
    pub fn discount_min(self) -> Option<YuanPerM3> {
        match self {
            Self::Tier0 => Some(YuanPerM3(Decimal::ZERO)),
            Self::Tier1 => Some(YuanPerM3(Decimal::new(5, 2))),
            Self::Tier2 => Some(YuanPerM3(Decimal::new(10, 2))),
            Self::Negotiated => None,
        }
    }

    /// Where the next tier begins, if there is one. The negotiated tier begins above 15 million.
    pub fn next_at(self) -> Option<StdVolume> {
        match self {
            Self::Tier0 => Some(StdVolume::from_m3(5_000_000)),
            Self::Tier1 => Some(StdVolume::from_m3(10_000_000)),
            Self::Tier2 => Some(StdVolume::from_units(15_000_000 * 10_000 + 1)),
            Self::Negotiated => None,
        }
    }
}

/// How the gas is sold (合同类型).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaleMode {
    /// 直销: our gas, our contract.
    #[default]
    Direct,
    /// 代销: the upstream sells, we distribute.
    Agency,
    /// 代输: we only transport.
    Wheeling,
}

/// Shift pattern (班制).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShiftPattern {
    /// 一班
    One,
    /// 两班
    Two,
    /// 三班 (continuous)
    #[default]
    Three,
}

/// A customer (用户), one row of `customers.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Account number (户号).
    pub id: CustomerId,
    /// Name (企业名称).
    pub name: String,
    /// Class by use.
    pub class: CustomerClass,
    /// Supply zone.
    pub zone: ZoneId,
    /// Households behind this customer's meters (居民楼栋表 serves many); 1 otherwise.
    pub households: u32,
    /// Industry by GB/T 4754 (行业); empty for households.
    pub industry: String,
    /// Grid area (网格).
    pub grid: String,
    /// Account manager (客户经理).
    pub account_manager: String,
    /// The one group of this enterprise (微信项目群); empty if none.
    pub contact_group: String,
    /// How the gas is sold.
    pub sale_mode: SaleMode,
    /// Design flow, m³/h (设计小时量).
    pub design_flow_m3h: f64,
    /// Contracted volume of one year (年合同量); zero if none.
    pub contract_annual: StdVolume,
    /// Agreed price before discount, 元/m³ (基准价).
    pub base_price: YuanPerM3,
    /// Agreed discount, 元/m³ (优惠额).
    pub agreed_discount: YuanPerM3,
    /// Shift pattern.
    pub shift: ShiftPattern,
    /// Protection rank 1 (households) to 9 (interruptible first) (保供序位).
    pub protection_rank: u8,
    /// Whether supply may be interrupted by contract (可中断).
    pub is_interruptible: bool,
    /// Volume that can move off the peak on a day, m³ (可移峰能力).
    pub shiftable_m3_per_day: f64,
    /// Flow that keeps furnaces alive, m³/h (保炉最小气量).
    pub flow_min_safe_m3h: f64,
    /// Whether the customer agreed to receive off-peak suggestions (参与意愿).
    pub is_nudge_opted_in: bool,
    /// On the ledger by hand, with this reason; empty if not (入台账依据: 人工).
    pub ledger_reason: String,
    /// Supplied since (通气日期).
    pub connected_on: NaiveDate,
}

impl Customer {
    /// The node of demand it is a part of.
    pub fn node(&self) -> DemandNode {
        DemandNode {
            zone: self.zone.clone(),
            class: self.class,
        }
    }

    /// Whether its gas is bought under our own supply contracts: sold by us (直销), not carried for
    /// others.
    pub fn is_bought_for(&self) -> bool {
        self.sale_mode == SaleMode::Direct && self.class != CustomerClass::Wheeling
    }

    /// Size by design flow.
    pub fn size_class(&self) -> SizeClass {
        SizeClass::from_design_flow(self.design_flow_m3h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tier_bounds_are_those_of_the_notice() {
        let tier = |text: &str| PriceTier::of(text.parse().unwrap());
        assert_eq!(tier("4999999.99"), PriceTier::Tier0);
        assert_eq!(tier("5000000"), PriceTier::Tier1);
        assert_eq!(tier("9999999.99"), PriceTier::Tier1);
        assert_eq!(tier("10000000"), PriceTier::Tier2);
        assert_eq!(tier("15000000"), PriceTier::Tier2);
        assert_eq!(tier("15000000.01"), PriceTier::Negotiated);
    }

    #[test]
    fn the_next_tier_is_reached_exactly_where_it_begins() {
        for tier in [PriceTier::Tier0, PriceTier::Tier1, PriceTier::Tier2] {
            let at = tier.next_at().unwrap();
            assert_eq!(PriceTier::of(at - StdVolume::from_units(1)), tier);
            assert!(PriceTier::of(at) > tier);
        }
    }

    #[test]
    fn size_bounds_include_the_upper_end() {
        assert_eq!(SizeClass::from_design_flow(20.0), SizeClass::Micro);
        assert_eq!(SizeClass::from_design_flow(20.01), SizeClass::General);
        assert_eq!(SizeClass::from_design_flow(50.0), SizeClass::General);
        assert_eq!(SizeClass::from_design_flow(50.01), SizeClass::Large);
    }

    #[test]
    fn every_class_has_its_own_key() {
        for class in CustomerClass::ALL {
            assert_eq!(CustomerClass::from_key(class.key()), Some(class));
            assert_eq!(serde_json::to_value(class).unwrap(), class.key());
        }
    }
}
