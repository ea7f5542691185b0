import type { ForecastView } from '@/api/types'

type Row = (string | number | null)[]

/**
 * The chart and the table as rows: what is shown, in m³, so that nothing is lost to rounding. The
 * first rows name the run, so that a file found in a year can be traced.
 */
export function forecastCsv(view: ForecastView, key: string | null, keyName: (key: string) => string, t: (key: string) => string): Row[] {
  const time = view.horizon === 'hourly' ? ['gas_day', 'civil_hour', 'at'] : ['gas_day']
  const stamp = (point: { gas_day: string; civil_hour: number | null; at: string }): Row =>
    view.horizon === 'hourly' ? [point.gas_day, point.civil_hour, point.at] : [point.gas_day]
  const lines = view.series.filter((line) => key === null || line.key === key)
  const head: Row = [
    ...time,
    ...(key === null ? ['total_p10_m3', 'total_p50_m3', 'total_p90_m3', 'naive_m3', 'actual_m3'] : []),
    ...lines.flatMap((line) => ['p10', 'p50', 'p90'].map((quantile) => `${keyName(line.key)}_${quantile}_m3`)),
  ]
  const history: Row[] =
    key === null ? view.history.map((point) => [...stamp(point), null, null, null, null, point.actual_m3, ...lines.flatMap((): Row => [null, null, null])]) : []
  const points: Row[] = view.total.map((point, index) => [
    ...stamp(point),
    ...(key === null ? [point.band.p10_m3, point.band.p50_m3, point.band.p90_m3, point.naive_m3, point.actual_m3] : []),
    ...lines.flatMap((line): Row => {
      const band = line.points[index]
      return band === undefined ? [null, null, null] : [band.p10_m3, band.p50_m3, band.p90_m3]
    }),
  ])
  const table: Row[] = view.table.map((row) => [
    keyName(row.key),
    row.yesterday_m3,
    row.today.p10_m3,
    row.today.p50_m3,
    row.today.p90_m3,
    row.tomorrow.p10_m3,
    row.tomorrow.p50_m3,
    row.tomorrow.p90_m3,
  ])
  return [
    [t('forecast.runId'), view.run_id],
    [t('forecast.origin'), view.origin_at],
    [],
    head,
    ...history,
    ...points,
    [],
    [
      view.by,
      'yesterday_m3',
      'today_p10_m3',
      'today_p50_m3',
      'today_p90_m3',
      'tomorrow_p10_m3',
      'tomorrow_p50_m3',
      'tomorrow_p90_m3',
    ],
    ...table,
  ]
}
