import type { LedgerProfile } from '@/api/types'
import { celsius, cubic } from '@/format/number'
import { gasDayHours, hourLabel, shortDay, weekday } from '@/format/time'
import type { EChartsCoreOption } from './echarts'
import type { Ink } from './palette'
import { axisOf, legendOf, textOf, tipLine, tooltipOf } from './parts'

type Translate = (key: string) => string

/** Daily volumes; weekends paler, a missing day stays empty. */
export function daysOption(days: LedgerProfile['days'], ink: Ink, name: string): EChartsCoreOption {
  return {
    textStyle: textOf(ink),
    grid: { left: 4, right: 8, top: 10, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const day = days[items[0]?.dataIndex ?? 0]
        return day === undefined ? '' : `<div>${day.day}</div>${tipLine(ink.actual, name, `${cubic(day.m3)} m³`)}`
      },
    },
    xAxis: { type: 'category', data: days.map((day) => shortDay(day.day)), ...axisOf(ink), splitLine: { show: false }, axisLabel: { ...axisOf(ink).axisLabel, hideOverlap: true } },
    yAxis: { type: 'value', ...axisOf(ink), splitNumber: 3, axisLabel: { ...axisOf(ink).axisLabel, formatter: (m3: number) => cubic(m3) } },
    series: [
      {
        type: 'bar',
        barWidth: '64%',
        data: days.map((day) => ({ value: day.m3, itemStyle: { color: ink.actual, opacity: [0, 6].includes(weekday(day.day)) ? 0.5 : 1 } })),
      },
    ],
  }
}

/** Hours of yesterday and today side by side. */
export function hoursOption(profile: LedgerProfile, startHour: number, ink: Ink, t: Translate): EChartsCoreOption {
  const labels = gasDayHours(startHour).map(hourLabel)
  const names = { yesterday: t('ledger.yesterday'), today: t('ledger.today') }
  return {
    textStyle: textOf(ink),
    grid: { left: 4, right: 10, top: 32, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: { ...legendOf(ink), top: 0, left: 0, data: [names.today, names.yesterday] },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const index = items[0]?.dataIndex ?? 0
        return `<div>${labels[index]}:00</div>${tipLine(ink.actual, names.today, `${cubic(profile.today_hours[index])} m³`)}${tipLine(ink.contract, names.yesterday, `${cubic(profile.yesterday_hours[index])} m³`)}`
      },
    },
    xAxis: { type: 'category', data: labels, ...axisOf(ink), splitLine: { show: false }, axisLabel: { ...axisOf(ink).axisLabel, interval: 3 } },
    yAxis: { type: 'value', ...axisOf(ink), splitNumber: 3, axisLabel: { ...axisOf(ink).axisLabel, formatter: (m3: number) => cubic(m3) } },
    series: [
      { name: names.yesterday, type: 'line', step: 'middle', symbol: 'none', lineStyle: { color: ink.contract, width: 1.5, type: 'dashed' }, itemStyle: { color: ink.contract }, data: profile.yesterday_hours },
      { name: names.today, type: 'line', step: 'middle', symbol: 'none', lineStyle: { color: ink.actual, width: 2.4 }, itemStyle: { color: ink.actual }, areaStyle: { color: ink.bandOuter }, data: profile.today_hours },
    ],
  }
}

/** Daily volume over daily mean temperature: what the weather explains of a customer. */
export function temperatureOption(profile: LedgerProfile, ink: Ink): EChartsCoreOption {
  return {
    textStyle: textOf(ink),
    grid: { left: 4, right: 26, top: 10, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: {
      ...tooltipOf(ink),
      formatter: (item: { data: [number, number] }) => `${celsius(item.data[0])}<br><b>${cubic(item.data[1])} m³</b>`,
    },
    xAxis: { type: 'value', scale: true, ...axisOf(ink), splitLine: { show: false }, axisLabel: { ...axisOf(ink).axisLabel, formatter: '{value}℃', hideOverlap: true } },
    yAxis: { type: 'value', scale: true, ...axisOf(ink), splitNumber: 3, axisLabel: { ...axisOf(ink).axisLabel, formatter: (m3: number) => cubic(m3) } },
    series: [{ type: 'scatter', symbolSize: 5, itemStyle: { color: ink.actual, opacity: 0.55 }, data: profile.temperature.map((point) => [point.mean_c, point.m3]) }],
  }
}
