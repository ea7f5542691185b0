import { toNumber } from '@/format/number'
import type { DeclarationSummary, Nudge } from './types'

/**
 * A nudge as the console shows it. The API passes nudge documents through as they were stored, so
 * that old versions stay readable: a field that is absent is shown as missing instead of failing.
 */
export interface NudgeView {
  id: string
  kind: string
  state: string
  customer: string
  account_manager: string | null
  /** Instants; the end is excluded. */
  window_from: string | null
  window_to: string | null
  reason: string | null
  city_day_m3: number | null
  temperature_c: number | null
  ask_m3h: number | null
  avoided_m3: number | null
  /** Mean of the frozen baseline over the window. */
  baseline_m3h: number | null
  price_gap_yuan_per_m3: number | null
  benefit_yuan: number | null
  send_after: string | null
  expires_at: string | null
}

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const number = (value: unknown): number | null =>
  typeof value === 'number' || typeof value === 'string' ? toNumber(value) : null

function mean(values: unknown): number | null {
  if (!Array.isArray(values) || values.length === 0) return null
  const numbers = values.map(number)
  return numbers.reduce<number | null>((sum, value) => (sum === null || value === null ? null : sum + value / numbers.length), 0)
}

export function nudgeView(nudge: Nudge): NudgeView {
  const baseline = typeof nudge.baseline === 'object' && nudge.baseline !== null ? (nudge.baseline as Nudge) : {}
  return {
    id: text(nudge.id) ?? '',
    kind: text(nudge.kind) ?? '',
    state: text(nudge.state) ?? 'draft',
    customer: text(nudge.name) ?? text(nudge.customer) ?? '—',
    account_manager: text(nudge.account_manager),
    window_from: text(nudge.window_from),
    window_to: text(nudge.window_to),
    reason: text(nudge.reason),
    city_day_m3: number(nudge.city_day_m3),
    temperature_c: number(nudge.temperature_c),
    ask_m3h: number(nudge.ask_m3h),
    avoided_m3: number(nudge.avoided_m3),
    baseline_m3h: mean(baseline.hours_m3h),
    price_gap_yuan_per_m3: number(nudge.price_gap),
    benefit_yuan: number(nudge.benefit),
    send_after: text(nudge.send_after),
    expires_at: text(nudge.expires_at),
  }
}

/** Address of a declaration's workbook. */
export const declarationWorkbook = (declaration: DeclarationSummary): string =>
  `/api/v1/declarations/${encodeURIComponent(declaration.month)}/export.xlsx`

/** Address of the workbook of a gas day's nomination. */
export const nominationWorkbook = (day: string): string => `/api/v1/nominations/${encodeURIComponent(day)}/export.xlsx`
