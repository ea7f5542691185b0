import { addDays } from '@/format/time'

/** A customer's plan for one gas day, as it is sent; `null` takes the plan back. */
export interface PlanRow {
  customer: string
  day: string
  m3: string | null
}

/** Whether a text is a planned volume in m³: zero or more, at most four decimals. */
export const isPlan = (text: string): boolean => /^\d{1,12}(\.\d{1,4})?$/.test(text.trim())

/** Gas days from one to another, both included; none if they are not in order, a leap year at most. */
export function daysBetween(from: string, to: string): string[] {
  const days: string[] = []
  for (let day = from; day !== '' && day <= to && days.length < 366; day = addDays(day, 1)) days.push(day)
  return days
}

const UNITS = 10_000n

/** Exact m³ as units of 0.0001 m³. */
function unitsOf(text: string): bigint {
  const [whole = '0', fraction = ''] = text.trim().split('.')
  return BigInt(whole) * UNITS + BigInt(fraction.padEnd(4, '0'))
}

const m3Of = (units: bigint): string => `${units / UNITS}.${String(units % UNITS).padStart(4, '0')}`

/**
 * A plan for each of some gas days: so much a day, or so much together, of which each day has the same whole m³
 * and the last what is left over. `null` takes them back.
 */
export function planRows(customer: string, days: string[], m3: string | null, isTotal: boolean): PlanRow[] {
  if (m3 === null || !isTotal || days.length === 0) return days.map((day) => ({ customer, day, m3: m3 === null ? null : m3.trim() }))
  const all = unitsOf(m3)
  const each = (all / BigInt(days.length) / UNITS) * UNITS
  return days.map((day, index) => ({ customer, day, m3: m3Of(index < days.length - 1 ? each : all - each * BigInt(days.length - 1)) }))
}

/** The first and the last gas day of a month. */
export function daysOfMonth(month: string): string[] {
  const next = addDays(`${month}-28`, 4).slice(0, 7)
  return daysBetween(`${month}-01`, addDays(`${next}-01`, -1))
}
