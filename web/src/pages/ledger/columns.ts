import type { CodeGroup } from '@/api/codes'
import type { LedgerRow } from '@/api/types'
import { count, cubic, decimal, MISSING, percent, toNumber, wan, type Numeric } from '@/format/number'
import { shortInstant } from '@/format/time'
import { nextDue, statusRank } from '@/model/ledger'

export const GROUPS = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H'] as const
export type Group = (typeof GROUPS)[number]

/** What a column may ask of the page: names of codes and sentences in the chosen language. */
export interface Words {
  t: (key: string) => string
  codeName: (group: CodeGroup, code: string | null | undefined) => string
  said: (row: { message_zh: string; message_en: string }) => string
}

export interface Column {
  /** Key of the column, of its name in the locale files and of the stored settings. */
  key: string
  group: Group
  /** Shown until the user chooses otherwise (★ of the ledger's specification). */
  isDefault: boolean
  width: number
  isNumber: boolean
  /** Unit shown under the name. */
  unit?: 'm3' | 'wan' | 'm3h' | 'm3c' | 'm3d' | 'yuan'
  text: (row: LedgerRow, words: Words) => string
  /** What the column is sorted by; text if left out. */
  order?: (row: LedgerRow) => number | string | null
  /** Drawn by the page instead of as text. */
  cell?: 'status' | 'spark' | 'deviation' | 'forecast' | 'completeness' | 'findings'
}

type Extra = Partial<Pick<Column, 'isDefault' | 'unit' | 'order' | 'cell'>>

const plain = (group: Group, key: string, width: number, text: Column['text'], extra: Extra = {}): Column => ({
  group,
  key,
  width,
  text,
  isNumber: false,
  isDefault: false,
  ...extra,
})

const figure = (group: Group, key: string, width: number, value: (row: LedgerRow) => Numeric, write: (value: Numeric) => string, extra: Extra = {}): Column => ({
  group,
  key,
  width,
  text: (row) => write(value(row)),
  order: (row) => toNumber(value(row)),
  isNumber: true,
  isDefault: false,
  ...extra,
})

const code = (group: Group, key: string, width: number, names: CodeGroup, value: (row: LedgerRow) => string | null, extra: Extra = {}): Column =>
  plain(group, key, width, (row, words) => words.codeName(names, value(row)), extra)

const STAR = { isDefault: true }
const ratio = (value: Numeric) => percent(value)
const signedRatio = (value: Numeric) => percent(value, 1, true)
const orMissing = (text: string) => (text === '' ? MISSING : text)

/** The columns of the ledger in the order of its groups; status and name are pinned by the page. */
export const COLUMNS: readonly Column[] = [
  plain('A', 'account_no', 118, (row) => row.account_no, STAR),
  plain('A', 'industry', 130, (row) => orMissing(row.industry), STAR),
  code('A', 'class', 140, 'class', (row) => row.class, STAR),
  code('A', 'size_class', 84, 'size_class', (row) => row.size_class),
  plain('A', 'grid', 104, (row) => orMissing(row.grid), STAR),
  plain('A', 'account_manager', 92, (row) => orMissing(row.account_manager), STAR),
  plain('A', 'contact_group', 150, (row) => orMissing(row.contact_group)),
  plain('A', 'zone', 100, (row) => orMissing(row.zone)),
  plain('A', 'basis', 160, (row) => orMissing(row.basis)),
  figure('A', 'completeness', 92, (row) => row.completeness, ratio),

  code('B', 'sale_mode', 92, 'sale_mode', (row) => row.sale_mode),
  figure('B', 'contract_annual', 108, (row) => row.contract_annual_m3, (value) => wan(value), { ...STAR, unit: 'wan' }),
  figure('B', 'base_price', 92, (row) => row.base_price_yuan_per_m3, (value) => decimal(value, 3), { unit: 'yuan' }),
  code('B', 'price_tier', 128, 'price_tier', (row) => row.price_tier, STAR),
  figure('B', 'agreed_discount', 92, (row) => row.agreed_discount_yuan_per_m3, (value) => decimal(value, 3), { unit: 'yuan' }),
  figure('B', 'discount_floor', 92, (row) => row.discount_floor_yuan_per_m3, (value) => decimal(value, 3), { unit: 'yuan' }),
  figure('B', 'year_to_date', 104, (row) => row.year_to_date_m3, (value) => wan(value), { ...STAR, unit: 'wan' }),
  figure('B', 'year_days_unknown', 92, (row) => row.year_days_unknown, (value) => count(value)),
  figure('B', 'to_next_tier', 104, (row) => row.to_next_tier_m3, (value) => wan(value), { ...STAR, unit: 'wan' }),
  plain('B', 'next_tier_on', 108, (row) => row.next_tier_on ?? MISSING),
  plain('B', 'is_interruptible', 84, (row, words) => words.t(row.is_interruptible ? 'word.yes' : 'word.no')),
  figure('B', 'protection_rank', 92, (row) => row.protection_rank, count),
  figure('B', 'flow_min_safe', 108, (row) => row.flow_min_safe_m3h, (value) => cubic(value), { unit: 'm3h' }),

  figure('C', 'meter_count', 76, (row) => row.meter_count, count),
  plain('C', 'main_meter', 128, (row) => orMissing(row.main_meter)),
  code('C', 'meter_kind', 84, 'meter_kind', (row) => row.meter_kind),
  code('C', 'transport', 92, 'transport', (row) => row.transport, STAR),
  figure('C', 'flow_max', 92, (row) => row.flow_max_m3h, (value) => cubic(value), { unit: 'm3h' }),
  figure('C', 'latest_total', 128, (row) => row.latest_total_m3, (value) => cubic(value), { ...STAR, unit: 'm3' }),
  code('C', 'latest_total_kind', 84, 'total_kind', (row) => row.latest_total_kind ?? '', STAR),
  plain('C', 'latest_at', 112, (row) => shortInstant(row.latest_at), { ...STAR, order: (row) => row.latest_at }),
  figure('C', 'data_completeness_7d', 104, (row) => row.data_completeness_7d, ratio, { ...STAR, cell: 'completeness' }),

  code('D', 'shift', 76, 'shift', (row) => row.shift),
  code('D', 'pattern', 92, 'pattern', (row) => row.pattern, STAR),
  figure('D', 'temperature_sensitivity', 120, (row) => row.temperature_sensitivity_m3_per_c, (value) => cubic(value), { unit: 'm3c' }),
  figure('D', 'peak_share', 92, (row) => row.peak_share, ratio),
  figure('D', 'load_factor', 92, (row) => row.load_factor, ratio),
  plain('D', 'quarter', 132, (row, words) => (row.quarter === null ? MISSING : row.quarter.reasons.map((reason) => words.codeName('quarter_reason', reason)).join(' ') || words.t('ledger.unchanged'))),
  figure('D', 'shiftable', 108, (row) => row.shiftable_m3_per_day, (value) => cubic(value), { unit: 'm3d' }),

  plain('E', 'trend', 112, () => '', { ...STAR, cell: 'spark' }),
  figure('E', 'yesterday', 104, (row) => row.yesterday_m3, (value) => cubic(value), { ...STAR, unit: 'm3' }),
  figure('E', 'today_so_far', 104, (row) => row.today_so_far_m3, (value) => cubic(value), { ...STAR, unit: 'm3' }),
  figure('E', 'today_expected', 104, (row) => row.today_expected_m3, (value) => cubic(value), { unit: 'm3' }),
  figure('E', 'plan', 104, (row) => row.plan_m3, (value) => cubic(value), { ...STAR, unit: 'm3' }),
  figure('E', 'forecast', 176, (row) => row.forecast?.p50_m3 ?? null, (value) => cubic(value), { ...STAR, unit: 'm3', cell: 'forecast' }),
  figure('E', 'deviation', 156, (row) => row.deviation_m3, (value) => cubic(value, true), { ...STAR, unit: 'm3', cell: 'deviation' }),
  figure('E', 'day_on_day', 92, (row) => row.day_on_day, signedRatio),
  figure('E', 'year_on_year', 92, (row) => row.year_on_year, signedRatio),
  figure('E', 'peak_hour', 104, (row) => row.peak_hour_m3, (value) => cubic(value), { unit: 'm3' }),
  figure('E', 'peak_slots', 104, (row) => row.peak_slots_m3, (value) => cubic(value), { unit: 'm3' }),
  figure('E', 'month_to_date', 112, (row) => row.month_to_date_m3, (value) => cubic(value), { unit: 'm3' }),
  figure('E', 'month_days_unknown', 92, (row) => row.month_days_unknown, (value) => count(value)),
  figure('E', 'month_plan_ratio', 104, (row) => row.month_plan_ratio, ratio, STAR),
  figure('E', 'time_progress', 92, (row) => row.time_progress, ratio),
  figure('E', 'month_expected_deviation', 132, (row) => row.month_expected_deviation_m3, (value) => cubic(value, true), { unit: 'm3' }),

  plain('F', 'findings', 220, (row, words) => row.findings.map(words.said).join('; ') || MISSING, { ...STAR, cell: 'findings', order: (row) => row.findings.length }),
  plain('F', 'due', 112, (row) => shortInstant(nextDue(row)), { order: nextDue }),

  plain('G', 'change_kind', 112, (row, words) => words.codeName('change_kind', row.change?.kind), STAR),
  plain('G', 'change_days', 190, (row) => (row.change === null ? MISSING : `${row.change.from_on} – ${row.change.to_on}`), { order: (row) => row.change?.from_on ?? null }),
  figure('G', 'change_delta', 108, (row) => row.change?.delta_m3_per_day ?? null, (value) => cubic(value, true), { unit: 'm3d' }),
  figure('G', 'change_confidence', 84, (row) => row.change?.confidence ?? null, (value) => percent(value, 0)),
  plain('G', 'change_source', 92, (row) => row.change?.source ?? MISSING),

  code('H', 'willingness', 92, 'willingness', (row) => row.off_peak?.willingness ?? null),
  plain('H', 'event_on', 112, (row) => row.off_peak?.event_on ?? MISSING, { order: (row) => row.off_peak?.event_on ?? null }),
  figure('H', 'reduction', 108, (row) => row.off_peak?.reduction_m3 ?? null, (value) => cubic(value), { unit: 'm3' }),
  figure('H', 'performance', 92, (row) => row.off_peak?.performance_ratio ?? null, ratio),
  figure('H', 'saved', 108, (row) => row.off_peak?.saved_yuan ?? null, (value) => decimal(value, 2), { unit: 'yuan' }),
  plain('H', 'contacted_on', 128, (row) => row.off_peak?.contacted_on ?? MISSING, { order: (row) => row.off_peak?.contacted_on ?? null }),
]

/** The columns pinned at the left, with the names under which they are exported. */
export const PINNED: readonly Column[] = [
  plain('F', 'status', 96, (row, words) => words.codeName('status', row.status), { order: (row) => statusRank(row.status), cell: 'status' }),
  plain('A', 'name', 200, (row) => row.name),
]

export const DEFAULT_KEYS: readonly string[] = COLUMNS.filter((column) => column.isDefault).map((column) => column.key)

/** Compares two rows by a column; what is missing comes last in either direction. */
export function compareBy(column: Column, words: Words, isDescending: boolean) {
  const sign = isDescending ? -1 : 1
  return (a: LedgerRow, b: LedgerRow): number => {
    const left = column.order === undefined ? column.text(a, words) : column.order(a)
    const right = column.order === undefined ? column.text(b, words) : column.order(b)
    if (left === null || right === null) return (left === null ? 1 : 0) - (right === null ? 1 : 0)
    const order = typeof left === 'number' && typeof right === 'number' ? left - right : String(left).localeCompare(String(right), 'zh-CN')
    return sign * order
  }
}

