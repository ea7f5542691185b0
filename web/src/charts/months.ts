import type { MonthRows, MonthsView } from '@/api/types'
import { MISSING, wan } from '@/format/number'
import type { EChartsCoreOption } from './echarts'
import type { Ink } from './palette'
import { axisOf, ICONS, legendOf, textOf, tipLine, tooltipOf } from './parts'

/** What is drawn: the months of the total or of one member. */
export interface MonthsDrawing {
  view: MonthsView
  rows: MonthRows
  ink: Ink
  t: (key: string) => string
}

/** Bars of P50 with what is measured in them, whiskers from P10 to P90, and last year beside. */
export function monthsOption({ view, rows, ink, t }: MonthsDrawing): EChartsCoreOption {
  const months = view.months.map((facts) => facts.month)
  const names = {
    known: t('forecast.months.known'),
    p50: t('forecast.p50'),
    band: t('forecast.band'),
    naive: t('forecast.months.naive'),
  }
  const points = rows.points
  const hidden = { type: 'line', symbol: 'none', silent: true, lineStyle: { opacity: 0 }, stack: 'fan' }
  return {
    textStyle: textOf(ink),
    grid: { left: 8, right: 18, top: 36, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: {
      ...legendOf(ink),
      type: 'plain',
      top: 2,
      left: 0,
      data: [
        { name: names.known, icon: ICONS.area },
        { name: names.p50, icon: ICONS.area },
        { name: names.band, icon: ICONS.area },
        { name: names.naive, icon: ICONS.dashed },
      ],
    },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const at = items[0]?.dataIndex ?? 0
        const point = points[at]
        const facts = view.months[at]
        if (point === undefined || facts === undefined) return ''
        return [
          `<div>${facts.month} · ${t(`forecast.months.basis.${facts.basis}`)}</div>`,
          tipLine(ink.forecast, names.p50, wan(point.band.p50_m3, 2)),
          tipLine(ink.forecast, names.band, `${wan(point.band.p10_m3, 2)} – ${wan(point.band.p90_m3, 2)}`),
          ...(facts.known_days > 0 ? [tipLine(ink.actual, names.known, wan(point.known_m3, 2))] : []),
          tipLine(ink.naive, names.naive, point.naive_m3 === null ? MISSING : wan(point.naive_m3, 2)),
        ].join('')
      },
    },
    xAxis: { type: 'category', data: months, ...axisOf(ink), splitLine: { show: false }, axisLabel: { ...axisOf(ink).axisLabel, hideOverlap: true } },
    yAxis: { type: 'value', ...axisOf(ink), axisLabel: { ...axisOf(ink).axisLabel, formatter: (m3: number) => wan(m3, 0) } },
    series: [
      { name: names.known, type: 'bar', stack: 'm3', barMaxWidth: 26, itemStyle: { color: ink.actual }, data: points.map((point) => point.known_m3) },
      { name: names.p50, type: 'bar', stack: 'm3', barMaxWidth: 26, itemStyle: { color: ink.forecast, opacity: 0.75 }, data: points.map((point) => point.band.p50_m3 - point.known_m3) },
      { ...hidden, name: 'p10', data: points.map((point) => point.band.p10_m3) },
      { ...hidden, name: names.band, itemStyle: { color: ink.forecast, opacity: 0.25 }, areaStyle: { color: ink.forecast, opacity: 0.2 }, data: points.map((point) => point.band.p90_m3 - point.band.p10_m3) },
      { name: names.naive, type: 'line', symbol: 'none', lineStyle: { color: ink.naive, width: 1.4, type: 'dotted' }, itemStyle: { color: ink.naive }, data: points.map((point) => point.naive_m3) },
    ],
  }
}
