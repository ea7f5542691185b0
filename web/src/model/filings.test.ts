import { describe, expect, test } from 'vitest'
import { daysBetween, daysOfMonth, isPlan, planRows } from './filings'

describe('plans as they are typed in', () => {
  test('are volumes of zero or more with four decimals at most', () => {
    for (const text of ['0', '2400', ' 2400.5 ', '0.0001']) expect(isPlan(text), text).toBe(true)
    for (const text of ['', '-1', '2,400', '1e3', '0.00001', '2400 m³']) expect(isPlan(text), text).toBe(false)
  })

  test('are said for each gas day of a span', () => {
    expect(daysBetween('2026-11-29', '2026-12-02')).toEqual(['2026-11-29', '2026-11-30', '2026-12-01', '2026-12-02'])
    expect(daysBetween('2026-12-02', '2026-12-01')).toEqual([])
    expect(daysBetween('', '2026-12-01')).toEqual([])
    expect(daysBetween('2026-01-01', '2096-01-01')).toHaveLength(366)
    expect(planRows('K1', ['2026-12-01', '2026-12-02'], ' 5.5 ', false).map((row) => row.m3)).toEqual(['5.5', '5.5'])
    expect(planRows('K1', ['2026-12-01'], null, true)).toEqual([{ customer: 'K1', day: '2026-12-01', m3: null }])
  })

  test('a total is spread so that nothing is lost', () => {
    const rows = planRows('K1', daysOfMonth('2026-12'), '750000.0001', true)
    expect(rows).toHaveLength(31)
    expect(rows[0]?.m3).toBe('24193.0000')
    expect(rows.at(-1)?.m3).toBe('24210.0001')
    const units = rows.reduce((sum, row) => sum + BigInt((row.m3 ?? '').replace('.', '')), 0n)
    expect(units).toBe(7_500_000_001n)
  })

  test('a month has all its days', () => {
    expect(daysOfMonth('2028-02')).toHaveLength(29)
    expect(daysOfMonth('2026-12').at(-1)).toBe('2026-12-31')
  })
})
