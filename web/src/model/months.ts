import type { MonthRows, MonthsView } from '@/api/types'

type Row = (string | number | null)[]

/** Whether the members' months and periods sum to the total's, to the cubic metre. */
export function areCoherent(view: MonthsView): boolean {
  if (view.series.length === 0) return true
  const sumOf = (value: (rows: MonthRows) => number | undefined) => view.series.reduce((sum, rows) => sum + (value(rows) ?? 0), 0)
  return (
    view.total.points.every((point, at) => sumOf((rows) => rows.points[at]?.band.p50_m3) === point.band.p50_m3) &&
    view.total.periods.every((period, at) => sumOf((rows) => rows.periods[at]?.band.p50_m3) === period.band.p50_m3)
  )
}

/** The months of the total and of every member as rows, in m³, so that nothing is lost to rounding. */
export function monthsCsv(view: MonthsView, named: (label: MonthRows['label']) => string, t: (key: string) => string): Row[] {
  const head = ['key', 'name', 'month', 'basis', 'p10_m3', 'p50_m3', 'p90_m3', 'naive_m3', 'known_m3', 'planned_m3', 'statistical_m3', 'new_m3', 'other_m3', 'methods']
  const all = [...view.series, view.total]
  const months = all.flatMap((rows) =>
    rows.points.map((point, at): Row => [
      rows.label.key,
      named(rows.label),
      view.months[at]?.month ?? '',
      view.months[at]?.basis ?? '',
      point.band.p10_m3,
      point.band.p50_m3,
      point.band.p90_m3,
      point.naive_m3,
      point.known_m3,
      ...point.parts_m3,
      point.methods.map((one) => `${one.model} ${Math.round(100 * one.share)}%`).join('; '),
    ]),
  )
  const periods = all.flatMap((rows) =>
    rows.periods.map((period): Row => [rows.label.key, named(rows.label), period.kind, period.from, period.to, period.is_whole ? 'whole' : 'partly', period.band.p10_m3, period.band.p50_m3, period.band.p90_m3, period.naive_m3]),
  )
  return [
    [t('forecast.runId'), view.run_id],
    [t('forecast.origin'), view.origin_at],
    [],
    head,
    ...months,
    [],
    ['key', 'name', 'period', 'from', 'to', 'is_whole', 'p10_m3', 'p50_m3', 'p90_m3', 'naive_m3'],
    ...periods,
  ]
}
