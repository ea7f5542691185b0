import type { Band, ForecastTableRow, ForecastView } from '@/api/types'
import { sumOrMissing } from '@/format/number'

/** The total line of the forecast table. */
export interface TableTotal {
  yesterday_m3: number | null
  today: Band
  tomorrow: Band
  /** Today's P50 against yesterday, as in the rows. */
  vs_yesterday: number | null
  /** Sum of the rows' P50 less the total, m³: 0 today and tomorrow, or the answer is incoherent. */
  gap_today_m3: number
  gap_tomorrow_m3: number
}

const sumP50 = (rows: readonly ForecastTableRow[], pick: (row: ForecastTableRow) => Band): number =>
  rows.reduce((sum, row) => sum + pick(row).p50_m3, 0)

/**
 * The total line: P50 is that of the cards and the chart, and must equal the sum of the rows; P10
 * and P90 are those of the joint total, since quantiles do not add up.
 */
export function tableTotal(view: Pick<ForecastView, 'table' | 'cards'>): TableTotal {
  const { table, cards } = view
  const parts = table.length === 0 ? null : sumOrMissing(table.map((row) => row.yesterday_m3))
  const yesterday = cards.yesterday.actual_m3 ?? parts
  return {
    yesterday_m3: yesterday,
    today: cards.today.band,
    tomorrow: cards.tomorrow.band,
    vs_yesterday: yesterday === null || yesterday === 0 ? null : cards.today.band.p50_m3 / yesterday - 1,
    // The total alone has no rows, and nothing that could disagree.
    gap_today_m3: table.length === 0 ? 0 : sumP50(table, (row) => row.today) - cards.today.band.p50_m3,
    gap_tomorrow_m3: table.length === 0 ? 0 : sumP50(table, (row) => row.tomorrow) - cards.tomorrow.band.p50_m3,
  }
}

/** Whether every sum agrees to less than half a m³ (0.0001 万m³ is 1 m³). */
export const isCoherent = (total: TableTotal): boolean =>
  Math.abs(total.gap_today_m3) < 0.5 && Math.abs(total.gap_tomorrow_m3) < 0.5

/** The largest difference, m³, between the sum of the series' P50 and the total at one point. */
export function seriesGap(view: Pick<ForecastView, 'series' | 'total'>): number {
  if (view.series.length === 0) return 0
  return view.total.reduce((worst, point, index) => {
    const sum = view.series.reduce((part, line) => part + (line.points[index]?.p50_m3 ?? 0), 0)
    return Math.max(worst, Math.abs(sum - point.band.p50_m3))
  }, 0)
}
