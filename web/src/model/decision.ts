/** What a decision about hours of a curve (人工修正) does to them, before it is taken. */
import type { CurveDay } from '@/api/types'

/** An hour as it is and as it would be. */
export interface HourChange {
  /** Hour of the gas day, 0 to 23. */
  hour: number
  /** What counts now: the curve's volume, else what is estimated; m³. */
  before: string | null
  /** How that came about. */
  quality: string
  after: string
}

/** Exact m³ as the API takes it: up to four decimals, not negative. */
const VOLUME = /^\d{1,12}(\.\d{1,4})?$/

export const isVolume = (text: string): boolean => VOLUME.test(text.trim())

/** What an hour counts as now, m³: its own volume, else the estimate. */
export function volumeNow(day: CurveDay | null, hour: number): string | null {
  return day?.hours_m3[hour] ?? day?.estimates_m3[hour] ?? null
}

/**
 * The hours `first` to `last` with `volume` each; with an empty volume each keeps what is estimated of it now,
 * and hours of which nothing is known are left out.
 */
export function changesOf(day: CurveDay | null, first: number, last: number, volume: string): HourChange[] {
  const found: HourChange[] = []
  for (let hour = first; hour <= last; hour += 1) {
    const before = volumeNow(day, hour)
    const after = volume.trim() === '' ? before : volume.trim()
    if (after !== null) found.push({ hour, before, quality: day?.quality[hour] ?? 'missing', after })
  }
  return found
}

/** The sum of exact volumes in 1e-4 m³, so that no digit is lost on the way; `null` if one is missing. */
export function exactSum(volumes: readonly (string | null)[]): string | null {
  let sum = 0n
  for (const volume of volumes) {
    if (volume === null) return null
    const negative = volume.startsWith('-')
    const [whole = '0', part = ''] = volume.replace('-', '').split('.')
    const units = BigInt(whole) * 10_000n + BigInt(part.padEnd(4, '0').slice(0, 4))
    sum += negative ? -units : units
  }
  const size = sum < 0n ? -sum : sum
  return `${sum < 0n ? '-' : ''}${size / 10_000n}.${String(size % 10_000n).padStart(4, '0')}`
}
