import type { Overview } from '@/api/types'
import { MISSING, wan } from '@/format/number'
import { gasDayHours, hourLabel } from '@/format/time'
import { cumulativeCurves, runningHour, sideOf, type CumulativePoint } from '@/model/today'
import type { EChartsCoreOption } from './echarts'
import type { Ink } from './palette'
import { axisOf, escapeHtml, ICONS, legendOf, nowLine, textOf, tipLine, tooltipOf } from './parts'

type Translate = (key: string) => string

/** Volume of a line at an hour, between its points. */
function at(line: readonly CumulativePoint[], hour: number): number | null {
  for (let index = 1; index < line.length; index += 1) {
    const [fromHour, fromValue] = line[index - 1]!
    const [toHour, toValue] = line[index]!
    if (hour >= fromHour && hour <= toHour) {
      return toHour === fromHour ? toValue : fromValue + ((hour - fromHour) / (toHour - fromHour)) * (toValue - fromValue)
    }
  }
  return null
}

const clockOf = (startHour: number, hours: number): string => {
  const minutes = Math.round(((startHour + hours) % 24) * 60)
  return `${hourLabel(Math.floor(minutes / 60) % 24)}:${hourLabel(minutes % 60)}`
}

/**
 * Cumulative take against nomination and fan, from the start of the gas day to its end. The nomination
 * of an hour is taken evenly, so its line runs straight from hour to hour: a step would lag behind the
 * take by up to an hour and look like an over-take.
 */
export function cumulativeOption(overview: Overview, ink: Ink, t: Translate): EChartsCoreOption {
  const curves = cumulativeCurves(overview)
  const start = overview.gas_day_start_hour
  const fanWidth = curves.p10.map(([hour, low], index): CumulativePoint => [hour, (curves.p90[index]?.[1] ?? low) - low])
  const names = {
    actual: t('overview.actual'),
    p50: t('forecast.p50'),
    band: t('forecast.band'),
    nominated: t('overview.nominated'),
  }
  return {
    textStyle: textOf(ink),
    grid: { left: 8, right: 18, top: 34, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: { ...legendOf(ink), type: 'scroll', top: 2, left: 0, data: [
        { name: names.actual, icon: ICONS.solid },
        { name: names.p50, icon: ICONS.dashed },
        { name: names.band, icon: ICONS.area },
        { name: names.nominated, icon: ICONS.solid },
      ],
    },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { axisValue: number }[]) => {
        const hour = items[0]?.axisValue ?? 0
        const low = at(curves.p10, hour)
        const high = at(curves.p90, hour)
        const show = (value: number | null) => wan(value)
        return [
          `<div>${clockOf(start, hour)}</div>`,
          tipLine(ink.actual, names.actual, show(at(curves.actual, hour))),
          tipLine(ink.forecast, names.p50, show(at(curves.p50, hour))),
          tipLine(ink.bandOuter, names.band, low === null ? MISSING : `${show(low)} – ${show(high)}`),
          tipLine(ink.declared, names.nominated, show(at(curves.nominated, hour))),
        ].join('')
      },
    },
    xAxis: {
      type: 'value',
      min: 0,
      max: 24,
      interval: 2,
      ...axisOf(ink),
      splitLine: { show: false },
      axisLabel: { ...axisOf(ink).axisLabel, formatter: (value: number) => hourLabel((start + value) % 24), hideOverlap: true },
    },
    yAxis: {
      type: 'value',
      ...axisOf(ink),
      axisLabel: { ...axisOf(ink).axisLabel, formatter: (value: number) => wan(value, 0) },
    },
    series: [
      {
        name: 'p10',
        type: 'line',
        stack: 'fan',
        symbol: 'none',
        lineStyle: { opacity: 0 },
        data: curves.p10,
        silent: true,
        tooltip: { show: false },
      },
      {
        name: names.band,
        type: 'line',
        stack: 'fan',
        symbol: 'none',
        lineStyle: { opacity: 0 },
        itemStyle: { color: ink.bandOuter },
        areaStyle: { color: ink.bandOuter },
        data: fanWidth,
        silent: true,
      },
      {
        name: names.nominated,
        type: 'line',
        symbol: 'none',
        lineStyle: { color: ink.declared, width: 1.4 },
        itemStyle: { color: ink.declared },
        data: curves.nominated,
      },
      {
        name: names.p50,
        type: 'line',
        symbol: 'none',
        lineStyle: { color: ink.forecast, width: 2, type: 'dashed' },
        itemStyle: { color: ink.forecast },
        data: curves.p50,
      },
      {
        name: names.actual,
        type: 'line',
        symbol: 'none',
        lineStyle: { color: ink.actual, width: 2.6 },
        itemStyle: { color: ink.actual },
        data: curves.actual,
        markLine: nowLine(ink, curves.now, clockOf(start, curves.now), curves.now < 12),
      },
    ],
  }
}

/** Hourly flow: bars of what was bought, band and P50 of every hour, and what was nominated. */
export function hourlyOption(overview: Overview, ink: Ink, t: Translate): EChartsCoreOption {
  const labels = gasDayHours(overview.gas_day_start_hour).map(hourLabel)
  const { hours } = sideOf(overview)
  const running = runningHour(overview.gas_day_progress)
  const names = {
    actual: t('overview.actual'),
    p50: t('forecast.p50'),
    band: t('forecast.band'),
    nominated: t('overview.nominated'),
  }
  const isEstimated = (quality: string | null) => quality !== null && !['measured', 'backfilled', 'validated'].includes(quality)
  return {
    textStyle: textOf(ink),
    grid: { left: 8, right: 18, top: 34, bottom: 4, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: { ...legendOf(ink), type: 'scroll', top: 2, left: 0, data: [
        { name: names.actual, icon: ICONS.area },
        { name: names.p50, icon: ICONS.dashed },
        { name: names.band, icon: ICONS.area },
        { name: names.nominated, icon: ICONS.solid },
      ],
    },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const index = items[0]?.dataIndex ?? 0
        const hour = hours[index]
        if (hour === undefined) return ''
        const quality = hour.quality === null ? '' : ` · ${escapeHtml(t(`code.quality.${hour.quality}`))}`
        return [
          `<div>${labels[index]}:00${quality}</div>`,
          tipLine(ink.actual, names.actual, wan(hour.m3, 3)),
          tipLine(ink.forecast, names.p50, wan(hour.band?.p50_m3, 3)),
          tipLine(ink.bandOuter, names.band, hour.band === null ? MISSING : `${wan(hour.band.p10_m3, 3)} – ${wan(hour.band.p90_m3, 3)}`),
          tipLine(ink.declared, names.nominated, wan(hour.nominated_m3, 3)),
        ].join('')
      },
    },
    xAxis: { type: 'category', data: labels, ...axisOf(ink), splitLine: { show: false } },
    yAxis: {
      type: 'value',
      ...axisOf(ink),
      axisLabel: { ...axisOf(ink).axisLabel, formatter: (value: number) => wan(value, 1) },
    },
    series: [
      {
        name: 'p10',
        type: 'line',
        stack: 'fan',
        symbol: 'none',
        lineStyle: { opacity: 0 },
        data: hours.map((hour) => hour.band?.p10_m3 ?? null),
        silent: true,
      },
      {
        name: names.band,
        type: 'line',
        stack: 'fan',
        symbol: 'none',
        lineStyle: { opacity: 0 },
        itemStyle: { color: ink.bandOuter },
        areaStyle: { color: ink.bandOuter },
        data: hours.map((hour) => (hour.band === null ? null : hour.band.p90_m3 - hour.band.p10_m3)),
        silent: true,
      },
      {
        name: names.actual,
        type: 'bar',
        barWidth: '58%',
        itemStyle: { color: ink.actual },
        data: hours.map((hour, index) => ({
          value: hour.m3,
          // The running hour is not complete, an estimated one not measured: both are drawn paler.
          itemStyle: index === running || isEstimated(hour.quality) ? { opacity: 0.5 } : {},
        })),
      },
      {
        name: names.p50,
        type: 'line',
        symbol: 'none',
        lineStyle: { color: ink.forecast, width: 2, type: 'dashed' },
        itemStyle: { color: ink.forecast },
        data: hours.map((hour) => hour.band?.p50_m3 ?? null),
      },
      {
        name: names.nominated,
        type: 'line',
        step: 'middle',
        symbol: 'none',
        lineStyle: { color: ink.declared, width: 1.4 },
        itemStyle: { color: ink.declared },
        data: hours.map((hour) => hour.nominated_m3),
      },
    ],
  }
}
