import type { LedgerRow, LedgerStatus } from '@/api/types'
import { toNumber } from '@/format/number'
import { matches } from '@/format/pinyin'

const RANK: Record<LedgerStatus, number> = { abnormal: 3, warning: 2, watch: 1, normal: 0 }

export const statusRank = (status: LedgerStatus): number => RANK[status] ?? 0

/**
 * What is at stake, yuan: the deviation expected by the end of the month at the base price; where
 * there is none, the deviation of the day.
 */
export function stakeYuan(row: LedgerRow): number {
  const deviation = row.month_expected_deviation_m3 ?? toNumber(row.deviation_m3) ?? 0
  return Math.abs(deviation) * (toNumber(row.base_price_yuan_per_m3) ?? 0)
}

/** Most urgent first: by status, then by money, then by account so that the order is stable. */
export function byRisk(a: LedgerRow, b: LedgerRow): number {
  return (
    statusRank(b.status) - statusRank(a.status) ||
    stakeYuan(b) - stakeYuan(a) ||
    a.account_no.localeCompare(b.account_no)
  )
}

export interface LedgerFilter {
  search: string
  classes: readonly string[]
  statuses: readonly string[]
  grids: readonly string[]
}

export function filterRows(rows: readonly LedgerRow[], filter: LedgerFilter): LedgerRow[] {
  const passes = (chosen: readonly string[], value: string) => chosen.length === 0 || chosen.includes(value)
  return rows.filter(
    (row) =>
      passes(filter.classes, row.class) &&
      passes(filter.statuses, row.status) &&
      passes(filter.grids, row.grid) &&
      matches(filter.search, row.name, row.account_no, row.account_manager),
  )
}

/** Bounds of the volume-price tiers, m³ in a year: 500, 1000 and 1500 万m³. */
export const TIER_BOUNDS_M3 = [5_000_000, 10_000_000, 15_000_000] as const

/** Soonest due time of a row's findings, if any. */
export function nextDue(row: LedgerRow): string | null {
  const due = row.findings.map((finding) => finding.due_at).filter((at): at is string => at !== null)
  return due.sort((a, b) => Date.parse(a) - Date.parse(b))[0] ?? null
}
