//! The months after the run's days, and heating seasons and years as sums of them.

use super::{Writer, percent, quantiles, ratio, wan};
use crate::serve::figures::Band;
use crate::serve::figures::months::PeriodKind;

impl Writer<'_> {
    pub(super) fn ahead(&mut self) {
        let Some(view) = &self.report.ahead else {
            return;
        };
        let note = self.say(
            "含在途月;已过日按实际",
            "the month under way included; past days as measured",
        );
        self.heading("逐月预测", "Months ahead", note);
        let heads = [
            self.say("月份", "Month"),
            "P10",
            "P50",
            "P90",
            self.say("上年同期", "A year before"),
            self.say("变化", "Change"),
        ];
        self.table(&heads);
        for (facts, point) in view.months.iter().zip(&view.total.points) {
            self.month_row("", facts.month.to_string(), point.band, point.naive_m3);
        }
        for period in &view.total.periods {
            let name = match period.kind {
                PeriodKind::Next12 => self.say("未来12个月", "Next twelve months"),
                PeriodKind::Heating => self.say("采暖季", "Heating season"),
                PeriodKind::ContractYear => self.say("合同年", "Contract year"),
                PeriodKind::CalendarYear => self.say("自然年", "Calendar year"),
            };
            let partly = if period.is_whole {
                ""
            } else {
                self.say("(部分)", " (partly)")
            };
            let name = format!("{name}{partly} {}–{}", period.from, period.to);
            self.month_row("period", name, period.band, period.naive_m3);
        }
        self.put("</tbody></table>");
    }

    fn month_row(&mut self, class: &str, name: String, band: Band, naive_m3: Option<i64>) {
        let mut cells = vec![name];
        cells.extend(quantiles(band));
        cells.push(naive_m3.map_or_else(|| "—".into(), wan));
        let change = naive_m3.and_then(|before| ratio(band.p50_m3, before));
        cells.push(change.map_or_else(|| "—".into(), percent));
        self.row(class, &cells);
    }
}
