//! V04: a total that goes back without rollover or exchange; the interval is not used.

use crate::domain::finding::{Arg, Finding, RuleId, Sentence, Severity};
use crate::domain::id::MeterId;
use crate::validate::points::TotalPoint;

/// What it says.
pub static SENTENCES: &[&Sentence] = &[&INTERVAL, &OUTLIER];

static INTERVAL: Sentence = Sentence {
    rule: RuleId::V04,
    key: "interval",
    zh: "累计量由 {since} 的 {from} 退到 {to},既不是翻转,也没有换表记录;该区间不采用;若换过表请登记",
    en: "the total went back from {from} at {since} to {to}, which is neither a rollover nor a known exchange; the interval is not used; enter the exchange if there was one",
};

static OUTLIER: Sentence = Sentence {
    rule: RuleId::V04,
    key: "outlier",
    zh: "累计量 {total} 低于前一个,而后一个继续增长,仿佛它不存在;不采用",
    en: "the total {total} lies below the one before it, and the one after it continues as if it were not there; it is not used",
};

/// The finding of an interval whose total decreased.
pub fn finding(meter: &MeterId, from: &TotalPoint, to: &TotalPoint) -> Finding {
    let args = [
        Arg::volume("from", from.units),
        Arg::time("since", from.at),
        Arg::volume("to", to.units),
    ];
    Finding::new(&INTERVAL, Severity::Fail, meter, to.at, args)
}

/// The finding of a single total that lies outside its neighbours, which agree with each other.
pub fn outlier(meter: &MeterId, point: &TotalPoint) -> Finding {
    let args = [Arg::volume("total", point.units)];
    Finding::new(&OUTLIER, Severity::Fail, meter, point.at, args)
}

#[cfg(test)]
mod tests {
    use crate::domain::finding::{Quality, RuleId};
    use crate::validate::rules::testing::{at, meter, rules_of, sequence};

    #[test]
    fn a_total_that_goes_back_fails_its_interval() {
        let (curve, findings) = sequence(&meter(), &[(0, 100), (1, 110), (2, 50), (3, 51)]);
        assert_eq!(rules_of(&findings), [RuleId::V04]);
        assert_eq!(findings[0].at, at(2));
        assert_eq!(curve.quality[0], Quality::Measured);
        assert_eq!(curve.quality[1], Quality::Invalid);
        assert_eq!(curve.hours[1].units(), 0);
        assert_eq!(curve.hours[2].units(), 10_000);
    }

    #[test]
    fn a_total_that_stands_still_is_fine() {
        let (curve, findings) = sequence(&meter(), &[(0, 100), (1, 100), (2, 101)]);
        assert_eq!(rules_of(&findings), []);
        assert_eq!(curve.hours[0].units(), 0);
        assert_eq!(curve.quality[0], Quality::Measured);
    }

    #[test]
    fn a_single_dip_is_passed_over_and_volume_is_conserved_across_the_gap() {
        let (curve, findings) = sequence(&meter(), &[(0, 100), (1, 110), (2, 50), (3, 130)]);
        assert_eq!(rules_of(&findings), [RuleId::V04]);
        assert_eq!(curve.quality[1], Quality::Estimated);
        assert_eq!(curve.volume().units(), 300_000);
    }
}
