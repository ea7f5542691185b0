//! What is to cover demand above a contract, in parts that add up to it.

use crate::plan::declaration::GapLine;

/// Demand above the contract of a source, m³, and its cover: the four parts sum to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GapCover {
    /// Whether the gap is of the P90, where the contract covers the P50.
    pub is_p90: bool,
    /// Demand above the contract.
    pub gap_m3: i64,
    /// Market gas declared for it.
    pub market_m3: i64,
    /// Delivered by the swing contract in its place.
    pub swing_m3: i64,
    /// Interruptible volume of large consumers.
    pub interruptible_m3: i64,
    /// What is left: taken beyond the contract, at the price of over-take.
    pub over_take_m3: i64,
    /// Delivered by the swing contract beyond the gap: it costs less there, and covers nothing.
    pub traded_m3: i64,
}

impl GapLine {
    /// What covers the gap, the dearest means last; none where the contract covers the P90 as well.
    pub fn cover(&self) -> Option<GapCover> {
        let is_p90 = self.gap_p50_m3 <= 0;
        let gap_m3 = if is_p90 {
            self.gap_p90_m3
        } else {
            self.gap_p50_m3
        };
        if gap_m3 <= 0 {
            return None;
        }
        let mut open_m3 = gap_m3;
        let mut fill = |available_m3: i64| {
            let part_m3 = available_m3.clamp(0, open_m3);
            open_m3 -= part_m3;
            part_m3
        };
        let market_m3 = fill(self.market_m3);
        let swing_m3 = fill(self.swing_m3);
        let interruptible_m3 = fill(self.interruptible_m3);
        Some(GapCover {
            is_p90,
            gap_m3,
            market_m3,
            swing_m3,
            interruptible_m3,
            over_take_m3: open_m3,
            traded_m3: self.swing_m3 - swing_m3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(gap: [i64; 2], [market_m3, swing_m3, interruptible_m3]: [i64; 3]) -> GapLine {
        let [gap_p50_m3, gap_p90_m3] = gap;
        GapLine {
            contract: "HT-1".into(),
            source_name: "管道".into(),
            gap_p50_m3,
            gap_p90_m3,
            market_m3,
            swing_m3,
            interruptible_m3,
        }
    }

    #[test]
    fn the_parts_add_up_to_the_gap_and_what_is_beyond_it_is_no_cover() {
        for (gap, available, wanted) in [
            // A gap that hardly anything covers is an over-take.
            (
                [2_019_000, 4_246_000],
                [0, 0, 37_600],
                [0, 0, 37_600, 1_981_400, 0],
            ),
            // The swing contract delivers far more than the gap: the rest is trade.
            (
                [133_000, 427_000],
                [0, 828_700, 0],
                [0, 133_000, 0, 0, 695_700],
            ),
            ([100, 300], [70, 20, 50], [70, 20, 10, 0, 0]),
            // The P90 where the P50 is covered.
            ([-5, 40], [0, 10, 90], [0, 10, 30, 0, 0]),
        ] {
            let cover = line(gap, available).cover().unwrap();
            let parts = [
                cover.market_m3,
                cover.swing_m3,
                cover.interruptible_m3,
                cover.over_take_m3,
            ];
            assert_eq!(
                [parts[0], parts[1], parts[2], parts[3], cover.traded_m3],
                wanted
            );
            assert_eq!(parts.iter().sum::<i64>(), cover.gap_m3);
            assert_eq!(cover.is_p90, gap[0] <= 0);
        }
        assert_eq!(line([-9, 0], [5, 5, 5]).cover(), None);
    }
}
