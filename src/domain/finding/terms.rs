//! Words of findings that both languages have.

/// Key, Chinese, English; sorted by key.
const TERMS: &[(&str, &str, &str)] = &[
    ("base_pressure_kpa", "基准压力", "base pressure"),
    ("base_temperature_c", "基准温度", "base temperature"),
    ("battery_level_percent", "电池电量", "battery level"),
    ("battery_low", "电池欠压", "battery low"),
    ("battery_v", "电池电压", "battery voltage"),
    ("calorific_value_mj_per_m3", "热值", "calorific value"),
    ("config_crc", "参数校验码", "checksum of the parameters"),
    ("continuous_flow", "持续流量超时", "continuous flow"),
    ("conversion_factor", "修正系数", "conversion factor"),
    ("daily", "日冻结", "daily"),
    ("earthquake", "地震", "earthquake"),
    ("flow", "流量", "flow"),
    ("flow_std_m3h", "标况流量", "standard flow"),
    ("flow_work_m3h", "工况流量", "working flow"),
    ("frozen", "冻结", "frozen"),
    ("gas_day_start", "气日起始时刻不符", "gas day start"),
    ("hourly", "小时冻结", "hourly"),
    ("leak", "泄漏", "leak"),
    ("magnetic", "磁干扰", "magnetic interference"),
    ("metering_fault", "计量故障", "metering fault"),
    ("over_flow", "过载", "over flow"),
    ("pressure", "压力", "pressure"),
    ("pressure_abs_kpa", "绝对压力", "absolute pressure"),
    ("pressure_gauge_kpa", "表压", "gauge pressure"),
    ("pressure_limit", "压力越限", "pressure limit"),
    ("pressure_sensor", "压力传感器故障", "pressure sensor fault"),
    ("removed", "拆表", "meter removed"),
    ("report_seq", "上报序号", "report number"),
    ("reverse_flow", "反向流", "reverse flow"),
    ("rsrp_dbm", "信号强度", "signal"),
    ("single", "单次", "single"),
    ("small_flow", "异常小流", "unusual small flow"),
    ("snr_db", "信噪比", "signal to noise"),
    ("temperature", "温度", "temperature"),
    ("temperature_c", "温度", "temperature"),
    ("temperature_limit", "温度越限", "temperature limit"),
    (
        "temperature_pressure",
        "温度与压力",
        "temperature and pressure",
    ),
    (
        "temperature_sensor",
        "温度传感器故障",
        "temperature sensor fault",
    ),
    ("total_disturbed_m3", "受扰累积", "disturbed total"),
    ("total_std_m3", "标况累积", "standard total"),
    (
        "total_std_second_m3",
        "标况累积(第二表示)",
        "standard total, second",
    ),
    ("total_work_m3", "工况累积", "working total"),
    (
        "total_work_second_m3",
        "工况累积(第二表示)",
        "working total, second",
    ),
    ("unlisted", "其他告警", "another alarm"),
    ("valve", "阀门", "valve"),
    ("valve_fault", "阀门异常", "valve fault"),
    ("valve_leak", "阀内漏", "valve leak"),
    ("z_base", "基准压缩因子", "compressibility at base"),
    ("z_factor", "压缩因子", "compressibility factor"),
];

/// A word in Chinese and English.
pub(super) fn term(key: &str) -> Option<(&'static str, &'static str)> {
    let index = TERMS.binary_search_by_key(&key, |(key, _, _)| key).ok()?;
    TERMS.get(index).map(|(_, zh, en)| (*zh, *en))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::reading::{Alarm, Item};

    #[test]
    fn terms_are_sorted_and_every_item_and_alarm_has_one() {
        assert!(TERMS.is_sorted_by(|a, b| a.0 < b.0));
        for item in Item::ALL {
            assert!(term(item.key()).is_some(), "{}", item.key());
        }
        for alarm in Alarm::ALL {
            assert!(term(alarm.key()).is_some(), "{}", alarm.key());
        }
    }
}
