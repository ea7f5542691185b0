import { expect, test } from 'vitest'
import { addDays, clock, clockSeconds, date, gasDayHours, hoursAndMinutes, longInstant, shortInstant, weekday } from './time'

test('instants read as Beijing time whatever zone they came in and whatever zone this computer has', () => {
  expect(clock('2026-11-21T00:00:00Z')).toBe('08:00')
  expect(clockSeconds('2026-11-21T18:25:07+08:00')).toBe('18:25:07')
  expect(date('2026-11-20T16:30:00Z')).toBe('2026-11-21')
  expect(longInstant('2026-11-20T16:30:00Z')).toBe('2026-11-21 00:30')
})

test('what is no instant is missing', () => {
  expect(clock(null)).toBe('—')
  expect(shortInstant('soon')).toBe('—')
})

test('the hour axis starts with the gas day', () => {
  const hours = gasDayHours(8)
  expect(hours[0]).toBe(8)
  expect(hours[23]).toBe(7)
  expect(new Set(hours).size).toBe(24)
})

test('remaining time never runs below zero', () => {
  expect(hoursAndMinutes(38_100)).toEqual({ h: 10, m: 35 })
  expect(hoursAndMinutes(-5)).toEqual({ h: 0, m: 0 })
})

test('days are counted across months and years', () => {
  expect(addDays('2026-12-31', 1)).toBe('2027-01-01')
  expect(addDays('2028-03-01', -1)).toBe('2028-02-29')
  expect(weekday('2026-11-21')).toBe(6)
})
