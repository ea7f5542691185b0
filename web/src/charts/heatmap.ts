import type { Overview } from '@/api/types'
import { MISSING, wan } from '@/format/number'
import { gasDayHours, hourLabel, shortDay } from '@/format/time'
import type { EChartsCoreOption } from './echarts'
import type { Ink } from './palette'
import { axisOf, CHART_FONT_PX, escapeHtml, textOf, tooltipOf } from './parts'

interface RenderApi {
  coord: (value: [number, number]) => [number, number]
  size: (value: [number, number]) => [number, number]
}

/** Lowest and highest volume of the hours shown, m³; null if none is known. */
export function heatRange(overview: Overview): { low: number; high: number } | null {
  const known = overview.heatmap.flatMap((row) => row.hours).filter((m3): m3 is number => m3 !== null)
  return known.length === 0 ? null : { low: Math.min(...known), high: Math.max(...known) }
}

/** Hour × day: one look tells whether today's peak lies where it always does. Today is outlined. */
export function heatmapOption(overview: Overview, ink: Ink, unit: string): EChartsCoreOption {
  const days = overview.heatmap
  const labels = gasDayHours(overview.gas_day_start_hour).map(hourLabel)
  // Newest at the top, where the eye begins.
  const rows = [...days].reverse()
  const cells = rows.flatMap((row, y) => row.hours.map((m3, x) => [x, y, m3 ?? '-'] as const))
  const range = heatRange(overview)
  const isPast = (x: number, y: number) => y !== todayRow || x < Math.floor(overview.gas_day_progress * 24)
  const todayRow = rows.findIndex((row) => row.day === overview.gas_day)
  return {
    textStyle: textOf(ink),
    grid: { left: 4, right: 6, top: 6, bottom: 2, outerBoundsMode: 'same', outerBoundsContain: 'axisLabel' },
    tooltip: {
      ...tooltipOf(ink),
      formatter: (item: { data: [number, number, number | '-'] }) => {
        const [x, y, m3] = item.data
        const text = typeof m3 === 'number' ? `${wan(m3, 3)} ${unit}` : MISSING
        return `${escapeHtml(rows[y]?.day ?? '')} ${labels[x]}:00<br><b>${escapeHtml(text)}</b>`
      },
    },
    xAxis: {
      type: 'category',
      data: labels,
      ...axisOf(ink),
      splitLine: { show: false },
      axisLabel: { ...axisOf(ink).axisLabel, interval: 3 },
    },
    yAxis: {
      type: 'category',
      inverse: true,
      data: rows.map((row) => shortDay(row.day)),
      ...axisOf(ink),
      splitLine: { show: false },
      axisLabel: { ...axisOf(ink).axisLabel, interval: 1, fontSize: CHART_FONT_PX },
    },
    visualMap: {
      show: false,
      min: range?.low ?? 0,
      max: range?.high ?? 1,
      inRange: { color: ink.heat },
      seriesIndex: 0,
    },
    series: [
      {
        type: 'heatmap',
        data: cells,
        itemStyle: { borderColor: ink.surface, borderWidth: 1 },
        emphasis: { itemStyle: { borderColor: ink.text, borderWidth: 1 } },
      },
      {
        // An hour that is over and unknown is struck through: an empty cell could pass for a small one.
        type: 'custom',
        silent: true,
        data: cells.filter(([x, y, m3]) => m3 === '-' && isPast(x, y)).map(([x, y]) => [x, y]),
        renderItem: (_params: unknown, api: RenderApi & { value: (index: number) => number }) => {
          const [x, y] = api.coord([api.value(0), api.value(1)])
          const [width, height] = api.size([1, 1])
          return {
            type: 'line',
            shape: { x1: x - width / 2 + 1, y1: y + height / 2 - 1, x2: x + width / 2 - 1, y2: y - height / 2 + 1 },
            style: { stroke: ink.muted, lineWidth: 1 },
          }
        },
      },
      {
        type: 'custom',
        silent: true,
        z: 5,
        data: todayRow < 0 ? [] : [[0, todayRow]],
        renderItem: (_params: unknown, api: RenderApi) => {
          const [x, y] = api.coord([0, todayRow])
          const [width, height] = api.size([1, 1])
          return {
            type: 'rect',
            shape: { x: x - width / 2, y: y - height / 2, width: width * 24, height },
            style: { fill: 'none', stroke: ink.over, lineWidth: 2 },
          }
        },
      },
    ],
  }
}
