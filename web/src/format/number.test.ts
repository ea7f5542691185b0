import { describe, expect, test } from 'vitest'
import { celsius, count, cubic, decimal, MISSING, percent, significant, sumOrMissing, toNumber, wan, wanFlow } from './number'

describe('missing is a dash, never a zero', () => {
  test.each([null, undefined, '', 'n/a', Number.NaN, Number.POSITIVE_INFINITY])('%s', (value) => {
    for (const write of [wan, cubic, wanFlow, percent, celsius, count, significant]) expect(write(value as number)).toBe(MISSING)
    expect(decimal(value as number, 2)).toBe(MISSING)
  })

  test('a real zero is a zero', () => {
    expect(wan(0)).toBe('0.00')
    expect(cubic('0')).toBe('0')
    expect(percent(0)).toBe('0.0%')
  })
})

test('an uncertainty has two digits that mean something', () => {
  expect(['15.48', '0.4321', 1.7, 1234, '0.00012', 0].map(significant)).toEqual(['15', '0.43', '1.7', '1,234', '0.0001', '0'])
})

describe('units', () => {
  test('company volumes are 万m³ with two decimals, four where a m³ counts', () => {
    expect(wan(575_990)).toBe('57.60')
    expect(wan('18742310', 4)).toBe('1,874.2310')
    expect(wan(1, 4)).toBe('0.0001')
  })

  test('customer volumes are whole m³ with separators, exact strings included', () => {
    expect(cubic('12345.49')).toBe('12,345')
    expect(cubic(1_234_567)).toBe('1,234,567')
  })

  test('station flow has three decimals, temperature one', () => {
    expect(wanFlow(24_412)).toBe('2.441')
    expect(celsius(-1.25)).toBe('−1.3℃')
  })

  test('signs are written with a minus as wide as the plus, and never on zero', () => {
    expect(wan(9_000, 2, true)).toBe('+0.90')
    expect(wan(-9_000, 2, true)).toBe('−0.90')
    expect(cubic(0, true)).toBe('0')
    expect(wan(-1)).toBe('0.00')
    expect(percent(-0.0412, 1, true)).toBe('−4.1%')
  })
})

test('a sum with a missing part is missing', () => {
  expect(sumOrMissing([1, '2.5', 3])).toBe(6.5)
  expect(sumOrMissing([1, null])).toBeNull()
  expect(sumOrMissing([])).toBe(0)
})

test('numbers come from strings and numbers alike', () => {
  expect(toNumber('3.6800')).toBe(3.68)
  expect(toNumber(' ')).toBeNull()
})
