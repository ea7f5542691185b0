import type { ForecastView } from '@/api/types'

/** One instant of the forecast chart. */
export interface Moment {
  at: string
  gas_day: string
  civil_hour: number | null
  actual_m3: number | null
  /** Position in `total` and in every series; null for what lies before the forecast. */
  index: number | null
}

/**
 * History and forecast as one line of instants, each once. The hourly forecast begins with the
 * running gas day, so its first hours are history as well: there the measured volume of either
 * answer counts.
 */
export function timeline(view: Pick<ForecastView, 'history' | 'total'>): Moment[] {
  const measured = new Map(view.history.map((point) => [Date.parse(point.at), point.actual_m3]))
  const firstAt = Date.parse(view.total[0]?.at ?? '') || Number.POSITIVE_INFINITY
  const before = view.history
    .filter((point) => Date.parse(point.at) < firstAt)
    .map((point): Moment => ({ at: point.at, gas_day: point.gas_day, civil_hour: point.civil_hour, actual_m3: point.actual_m3, index: null }))
  const ahead = view.total.map(
    (point, index): Moment => ({
      at: point.at,
      gas_day: point.gas_day,
      civil_hour: point.civil_hour,
      actual_m3: point.actual_m3 ?? measured.get(Date.parse(point.at)) ?? null,
      index,
    }),
  )
  return [...before, ...ahead]
}

/** Position of the moment in which the forecast was made; −1 if it lies outside. */
export function originPosition(moments: readonly Moment[], origin_at: string): number {
  const origin = Date.parse(origin_at)
  const next = moments.findIndex((moment) => Date.parse(moment.at) > origin)
  return next <= 0 ? -1 : next - 1
}
