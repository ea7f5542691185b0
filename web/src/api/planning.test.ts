import { expect, test } from 'vitest'
import { meanBaseline, resultsOf, stepsOf } from './planning'
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
