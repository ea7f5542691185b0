import type { Band, ForecastView } from '@/api/types'
import { MISSING, wan } from '@/format/number'
import { clock, shortDay, shortInstant } from '@/format/time'
import { originPosition, timeline } from '@/model/timeline'
import type { EChartsCoreOption } from './echarts'
import { keyHue, type Ink } from './palette'
import { axisOf, ICONS, legendOf, nowLine, textOf, tipLine, tooltipOf } from './parts'

/** What is drawn: an answer of the API and the words and colours for it. */
export interface ForecastDrawing {
  /** For one key alone: the answer for that key, whose total and history are the key's. */
  view: ForecastView
  /** The key that is shown alone and its colour; null for the total or all keys stacked. */
  alone: { name: string; hue: string } | null
  showNaive: boolean
  startHour: number
  ink: Ink
  t: (key: string) => string
  keyName: (key: string) => string
}

/** The fan of the total or of one key; or the keys' P50 stacked under the line of the total. */
export function forecastOption({ view, alone, showNaive, startHour, ink, t, keyName }: ForecastDrawing): EChartsCoreOption {
  const moments = timeline(view)
  const origin = originPosition(moments, view.origin_at)
  const isDaily = view.horizon === 'daily'
  const labels = moments.map((moment) => (isDaily ? shortDay(moment.gas_day) : shortInstant(moment.at)))
  const digits = isDaily ? 2 : 3
  const isStacked = alone === null && view.series.length > 0
  const hue = alone?.hue ?? ink.forecast
  const p50Hue = isStacked ? ink.text : hue
  const names = {
    actual: t('forecast.actual'),
    p50: alone === null ? t('forecast.p50') : `${alone.name} P50`,
    band: t('forecast.band'),
    naive: t('forecast.naive'),
  }
  // Outside its hours a slot has no demand to speak of: a gap, not a line along zero.
  const isGap = (m3: number | null | undefined) => view.by === 'slot' && alone !== null && !isDaily && m3 === 0
  const along = (value: (index: number) => number | null | undefined) =>
    moments.map(({ index }) => (index === null ? null : (value(index) ?? null)))
  const band = (index: number): Band | undefined => {
    const found = view.total[index]?.band
    return isGap(found?.p90_m3) ? undefined : found
  }
  const keyColour = (key: string) => keyHue(view.by, key, view.labels.findIndex((label) => label.key === key))

  const hidden = { type: 'line', symbol: 'none', silent: true, lineStyle: { opacity: 0 }, stack: 'fan' }
  const fan = [
    { ...hidden, name: 'p10', data: along((index) => band(index)?.p10_m3) },
    {
      ...hidden,
      name: names.band,
      itemStyle: { color: hue, opacity: 0.25 },
      areaStyle: { color: hue, opacity: 0.2 },
      data: along((index) => {
        const found = band(index)
        return found === undefined ? null : found.p90_m3 - found.p10_m3
      }),
    },
  ]
  const stack = view.series.map((line) => ({
    name: keyName(line.key),
    type: 'line',
    stack: 'keys',
    symbol: 'none',
    lineStyle: { width: 0.5, color: keyColour(line.key) },
    itemStyle: { color: keyColour(line.key) },
    areaStyle: { color: keyColour(line.key), opacity: 0.75 },
    data: along((index) => line.points[index]?.p50_m3),
  }))
  const line = (name: string, colour: string, width: number, type: 'solid' | 'dashed' | 'dotted', data: (number | null)[]) => ({
    name,
    type: 'line',
    symbol: 'none',
    lineStyle: { color: colour, width, type },
    itemStyle: { color: colour },
    data,
  })
  const series = [
    ...(isStacked ? stack : fan),
    ...(showNaive ? [line(names.naive, ink.naive, 1.2, 'dotted', along((index) => view.total[index]?.naive_m3))] : []),
    {
      ...line(names.p50, p50Hue, 2, 'dashed', along((index) => band(index)?.p50_m3)),
      markLine: origin < 0 ? undefined : nowLine(ink, labels[origin] ?? '', clock(view.origin_at), origin < moments.length / 2),
    },
    line(names.actual, ink.actual, 2.4, 'solid', moments.map(({ actual_m3 }) => (isGap(actual_m3) ? null : actual_m3))),
  ]

  return {
    textStyle: textOf(ink),
    grid: { left: 8, right: 18, top: 36, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: {
      ...legendOf(ink),
      type: 'scroll',
      top: 2,
      left: 0,
      data: [
        { name: names.actual, icon: ICONS.solid },
        { name: names.p50, icon: ICONS.dashed },
        ...(isStacked ? [] : [{ name: names.band, icon: ICONS.area }]),
        ...(showNaive ? [{ name: names.naive, icon: ICONS.dashed }] : []),
      ],
    },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const position = items[0]?.dataIndex ?? 0
        const moment = moments[position]
        if (moment === undefined) return ''
        const found = moment.index === null ? undefined : band(moment.index)
        const index = moment.index ?? -1
        return [
          `<div>${labels[position]}</div>`,
          tipLine(ink.actual, names.actual, wan(moment.actual_m3, digits)),
          ...(found === undefined
            ? []
            : [
                tipLine(p50Hue, names.p50, wan(found.p50_m3, digits)),
                tipLine(isStacked ? ink.bandOuter : hue, names.band, `${wan(found.p10_m3, digits)} – ${wan(found.p90_m3, digits)}`),
                ...(isStacked
                  ? [...view.series].reverse().map(({ key, points }) => tipLine(keyColour(key), keyName(key), wan(points[index]?.p50_m3, digits)))
                  : []),
                ...(showNaive ? [tipLine(ink.naive, names.naive, view.total[index]?.naive_m3 == null ? MISSING : wan(view.total[index].naive_m3, digits))] : []),
              ]),
        ].join('')
      },
    },
    xAxis: {
      type: 'category',
      boundaryGap: false,
      data: labels,
      ...axisOf(ink),
      splitLine: { show: false },
      axisLabel: {
        ...axisOf(ink).axisLabel,
        hideOverlap: true,
        // Hours are named where the gas day begins and half a day later; days as they fit.
        ...(isDaily
          ? {}
          : {
              interval: (index: number) => {
                const hour = moments[index]?.civil_hour
                return hour === startHour || hour === (startHour + 12) % 24
              },
            }),
      },
    },
    yAxis: {
      type: 'value',
      scale: isDaily && !isStacked,
      ...axisOf(ink),
      axisLabel: { ...axisOf(ink).axisLabel, formatter: (m3: number) => wan(m3, isDaily ? 0 : 1) },
    },
    series,
  }
}
