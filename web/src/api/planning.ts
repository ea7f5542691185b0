import { toNumber } from '@/format/number'
import type { DeclarationSummary, NominationLine, Nudge, NudgeStepKind } from './types'

/** Mean of the frozen baseline over the window, m³/h; `null` without hours. */
export function meanBaseline(nudge: Pick<Nudge, 'baseline'>): number | null {
  const hours = nudge.baseline.hours_m3h
  return hours.length === 0 ? null : hours.reduce((sum, value) => sum + value, 0) / hours.length
}

/** What a person can do about a nudge as it stands, the usual step first. */
export function stepsOf(nudge: Pick<Nudge, 'stage' | 'state'>): NudgeStepKind[] {
  switch (nudge.stage) {
    case 'draft':
      return ['approve', 'withdraw']
    case 'approved':
      return ['sent_by_hand', 'withdraw']
    case 'sent':
    case 'replied':
    case 'measuring':
      return ['reply']
    case 'settled':
      return ['approve_receipt', 'reply']
    case 'receipt_approved':
      return ['receipt_sent_by_hand']
    default:
      return []
  }
}

/** What the events on show came to: how many are measured, claimed m³ and yuan. */
export function resultsOf(nudges: readonly Pick<Nudge, 'settlement'>[]): { settled: number; claimed: number; m3: number; yuan: number } {
  const sum = { settled: 0, claimed: 0, m3: 0, yuan: 0 }
  for (const nudge of nudges) {
    const result = nudge.settlement?.result
    if (!result) continue
    sum.settled += 1
    if (!result.is_claimed) continue
    sum.claimed += 1
    sum.m3 += result.reduction_m3 ?? 0
    sum.yuan += toNumber(result.saved) ?? 0
  }
  return sum
}

/** `?a=1&b=2` of what is given. */
function query(of: Record<string, string | number | undefined>): string {
  const given = Object.entries(of).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`]))
  return given.length === 0 ? '' : `?${given.join('&')}`
}

/** Address of a declaration's workbook: ours, or the copy for one supplier; of the latest version, or one that was sent. */
export const declarationWorkbook = (declaration: Pick<DeclarationSummary, 'month'>, { supplier, version }: { supplier?: string; version?: number } = {}): string =>
  `/api/v1/declarations/${encodeURIComponent(declaration.month)}/export.xlsx${query({ supplier, version })}`

/** Address of the workbook of a gas day's nomination: of the latest version, or one that was sent. */
export const nominationWorkbook = (day: string, version?: number): string => `/api/v1/nominations/${encodeURIComponent(day)}/export.xlsx${query({ version })}`

/** What is asked for of a contract: as changed, or nominated. */
export const askedM3 = (line: Pick<NominationLine, 'nominated_m3' | 'changed_m3'>): number => line.changed_m3 ?? line.nominated_m3
