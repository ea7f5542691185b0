import type { CustomerPlans } from '@/api/types'
import { cubic, toNumber } from '@/format/number'
import { shortDay } from '@/format/time'
import type { EChartsCoreOption } from './echarts'
import type { Ink } from './palette'
import { axisOf, legendOf, textOf, tipLine, tooltipOf } from './parts'

/** Used as bars, planned as steps over them; what is missing stays empty. */
export function plansOption(days: CustomerPlans['days'], ink: Ink, names: { plan: string; used: string }): EChartsCoreOption {
  return {
    textStyle: textOf(ink),
    grid: { left: 4, right: 8, top: 30, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    legend: legendOf(ink),
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const day = days[items[0]?.dataIndex ?? 0]
        if (day === undefined) return ''
        return `<div>${day.day}</div>${tipLine(ink.declared, names.plan, `${cubic(day.plan_m3)} m³`)}${tipLine(ink.actual, names.used, `${cubic(day.used_m3)} m³`)}`
      },
    },
    xAxis: { type: 'category', data: days.map((day) => shortDay(day.day)), ...axisOf(ink), splitLine: { show: false }, axisLabel: { ...axisOf(ink).axisLabel, hideOverlap: true } },
    yAxis: { type: 'value', ...axisOf(ink), splitNumber: 3, axisLabel: { ...axisOf(ink).axisLabel, formatter: (m3: number) => cubic(m3) } },
    series: [
      { type: 'bar', name: names.used, barWidth: '64%', itemStyle: { color: ink.actual }, data: days.map((day) => toNumber(day.used_m3)) },
      { type: 'line', name: names.plan, step: 'middle', symbol: 'none', lineStyle: { color: ink.declared, width: 2 }, itemStyle: { color: ink.declared }, data: days.map((day) => toNumber(day.plan_m3)) },
    ],
  }
}
