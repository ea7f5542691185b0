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

/** Hour × day: one look tells whether today's peak lies where it always does. Today is outlined. */
export function heatmapOption(overview: Overview, ink: Ink, unit: string): EChartsCoreOption {
  const days = overview.heatmap
  const labels = gasDayHours(overview.gas_day_start_hour).map(hourLabel)
  // Newest at the top, where the eye begins.
  const rows = [...days].reverse()
  const cells = rows.flatMap((row, y) => row.hours.map((m3, x) => [x, y, m3 ?? '-'] as const))
  const known = cells.map(([, , m3]) => m3).filter((m3): m3 is number => typeof m3 === 'number')
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
      min: known.length > 0 ? Math.min(...known) : 0,
      max: known.length > 0 ? Math.max(...known) : 1,
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
