import { describe, expect, test } from 'vitest'
import type { CurveDay } from '@/api/types'
import { gasDayAt } from './gasDay'
import { changesOf, exactSum, isVolume, volumeNow } from './decision'

const day = {
  hours_m3: ['10.5000', null, null],
  estimates_m3: [null, '7.2500', null],
  quality: ['measured', 'missing', 'missing'],
} as unknown as CurveDay

describe('a decision', () => {
  test('shows each hour as it is and as it would be', () => {
    expect(changesOf(day, 0, 1, '12')).toEqual([
      { hour: 0, before: '10.5000', quality: 'measured', after: '12' },
      { hour: 1, before: '7.2500', quality: 'missing', after: '12' },
    ])
  })

  test('without a volume keeps what is estimated, and leaves out what is not known', () => {
    expect(changesOf(day, 1, 2, ' ')).toEqual([{ hour: 1, before: '7.2500', quality: 'missing', after: '7.2500' }])
    expect(volumeNow(day, 2)).toBeNull()
    expect(changesOf(null, 0, 0, '3')).toEqual([{ hour: 0, before: null, quality: 'missing', after: '3' }])
  })

  test('takes m³ with at most four decimals, and none below zero', () => {
    for (const good of ['0', '12.5', ' 3.0001 ']) expect(isVolume(good), good).toBe(true)
    for (const bad of ['', '-1', '1.00001', '1e3', 'much', '1,5']) expect(isVolume(bad), bad).toBe(false)
  })
})

describe('exact sums', () => {
  test('lose no digit, and are missing if a part is', () => {
    expect(exactSum(['9007199254.7409', '0.0001', '0.5'])).toBe('9007199255.2410')
    expect(exactSum(['1', null])).toBeNull()
    expect(exactSum([])).toBe('0.0000')
  })
})

describe('a gas day', () => {
  test('begins at its start hour, Beijing time', () => {
    expect(gasDayAt('2026-11-21T07:59:59+08:00', 8)).toBe('2026-11-20')
    expect(gasDayAt('2026-11-21T00:00:00Z', 8)).toBe('2026-11-21')
  })
})
