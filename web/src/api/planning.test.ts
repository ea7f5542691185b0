import { expect, test } from 'vitest'
import { askedM3, declarationWorkbook, meanBaseline, nominationWorkbook, resultsOf, stepsOf } from './planning'
import type { Nudge } from './types'

const baseline = (hours_m3h: number[]) => ({ baseline: { hours_m3h } as unknown as Nudge['baseline'] })

test('the mean of the frozen baseline is missing without hours, never zero', () => {
  expect(meanBaseline(baseline([950, 970]))).toBe(960)
  expect(meanBaseline(baseline([]))).toBeNull()
})

test('a person is offered what can be done as a nudge stands', () => {
  const steps = (stage: Nudge['stage']) => stepsOf({ stage, state: 'draft' })
  expect(steps('draft')).toEqual(['approve', 'withdraw'])
  expect(steps('measuring')).toEqual(['reply'])
  expect(steps('settled')[0]).toBe('approve_receipt')
  expect(steps('withdrawn')).toEqual([])
})

test('only what is claimed is summed', () => {
  const settled = (is_claimed: boolean, reduction_m3: number | null, saved: string) =>
    ({ settlement: { result: { is_claimed, reduction_m3, saved } } }) as unknown as Nudge
  const all = [settled(true, 920, '1058.00'), settled(false, 300, '0.00'), settled(false, null, '0.00'), { settlement: null } as Nudge]
  expect(resultsOf(all)).toEqual({ settled: 3, claimed: 1, m3: 920, yuan: 1058 })
})

test('a workbook is of the latest version, or of the one that was sent', () => {
  expect(declarationWorkbook({ month: '2026-12' })).toBe('/api/v1/declarations/2026-12/export.xlsx')
  expect(declarationWorkbook({ month: '2026-12' }, { supplier: '上游 甲', version: 3 })).toBe(`/api/v1/declarations/2026-12/export.xlsx?supplier=${encodeURIComponent('上游 甲')}&version=3`)
  expect(nominationWorkbook('2026-11-21')).toBe('/api/v1/nominations/2026-11-21/export.xlsx')
  expect(nominationWorkbook('2026-11-21', 4)).toBe('/api/v1/nominations/2026-11-21/export.xlsx?version=4')
})

test('what is asked for is the change where there is one, also one to nothing', () => {
  expect(askedM3({ nominated_m3: 170_000, changed_m3: null })).toBe(170_000)
  expect(askedM3({ nominated_m3: 170_000, changed_m3: 0 })).toBe(0)
})
