import type { Overview } from '@/api/types'
import { wan } from '@/format/number'
import { gasDayHours, hourLabel } from '@/format/time'
import { runningHour } from '@/model/today'
import type { EChartsCoreOption } from './echarts'
import { classHue, type Ink } from './palette'
import { axisOf, nowLine, textOf, tipLine, tooltipOf } from './parts'

/** Classes stacked: full colour where measured, pale where forecast. */
export function classesOption(overview: Overview, ink: Ink, className: (key: string) => string, nowText: string): EChartsCoreOption {
  const labels = gasDayHours(overview.gas_day_start_hour).map(hourLabel)
  // Measurement ends where the last complete hour was heard of, which may lie before now.
  const known = labels.findLastIndex((_, index) => overview.classes.some((item) => (item.hours[index]?.actual_m3 ?? null) !== null))
  const running = Math.min(runningHour(overview.gas_day_progress), known + 1)
  const classes = overview.classes.filter((item) => item.hours.some((hour) => (hour.actual_m3 ?? hour.p50_m3 ?? 0) > 0))
  /** The last complete hour belongs to both areas, so that they meet. */
  const seam = running - 1
  const value = (hours: Overview['classes'][number]['hours'], index: number) => {
    const hour = hours[index]
    return index < running ? (hour?.actual_m3 ?? null) : (hour?.p50_m3 ?? null)
  }
  const area = (isForecast: boolean) =>
    classes.map((item) => ({
      name: item.class,
      type: 'line',
      stack: isForecast ? 'forecast' : 'actual',
      symbol: 'none',
      silent: true,
      lineStyle: { width: 0.6, color: classHue(item.class), type: isForecast ? ('dashed' as const) : ('solid' as const) },
      itemStyle: { color: classHue(item.class) },
      areaStyle: { color: classHue(item.class), opacity: isForecast ? 0.42 : 0.92 },
      data: labels.map((_, index) => {
        if (isForecast ? index < Math.max(0, seam) : index > seam) return null
        return value(item.hours, index)
      }),
    }))
  const series = [...area(false), ...area(true)]
  const anchor = series[0]
  return {
    textStyle: textOf(ink),
    grid: { left: 4, right: 14, top: 22, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: {
      ...tooltipOf(ink),
      trigger: 'axis',
      formatter: (items: { dataIndex: number }[]) => {
        const index = items[0]?.dataIndex ?? 0
        const lines = classes
          .map((item) => ({ item, m3: value(item.hours, index) }))
          .reverse()
          .map(({ item, m3 }) => tipLine(classHue(item.class), className(item.class), wan(m3, 3)))
        return `<div>${labels[index]}:00</div>${lines.join('')}`
      },
    },
    xAxis: {
      type: 'category',
      boundaryGap: false,
      data: labels,
      ...axisOf(ink),
      splitLine: { show: false },
      axisLabel: { ...axisOf(ink).axisLabel, interval: 3 },
    },
    yAxis: {
      type: 'value',
      ...axisOf(ink),
      splitNumber: 4,
      axisLabel: { ...axisOf(ink).axisLabel, formatter: (m3: number) => wan(m3, 1) },
    },
    series:
      anchor === undefined || running <= 0 || running >= 24
        ? series
        : [{ ...anchor, markLine: nowLine(ink, labels[Math.max(0, seam)] ?? '', nowText, seam < 12) }, ...series.slice(1)],
  }
}
