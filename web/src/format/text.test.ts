import { expect, test } from 'vitest'
import { toCsv } from './csv'
import { initials, matches } from './pinyin'

test('pinyin initials of enterprises', () => {
  expect(initials('华宇陶瓷有限公司')).toBe('hytcyxgs')
  expect(initials('信达玻璃')).toBe('xdbl')
  expect(initials('安阳3号站')).toBe('ay3hz')
})

test('a search matches characters, initials and account numbers', () => {
  expect(matches('hytc', '华宇陶瓷有限公司', '3100010417')).toBe(true)
  expect(matches('陶瓷', '华宇陶瓷有限公司', '3100010417')).toBe(true)
  expect(matches('0417', '华宇陶瓷有限公司', '3100010417')).toBe(true)
  expect(matches('  ', '华宇陶瓷有限公司')).toBe(true)
  expect(matches('hybl', '华宇陶瓷有限公司')).toBe(false)
})

test('a table survives the way into a spreadsheet', () => {
  const text = toCsv([['名称', '量'], ['a,"b"', 1.5], [null, '—']])
  expect(text).toBe('\uFEFF名称,量\r\n"a,""b""",1.5\r\n,—\r\n')
})

test('a name that looks like a formula is not run, a negative number stays a number', () => {
  expect(toCsv([['=HYPERLINK("x")', '-12.5', -3]])).toBe('\uFEFF"\'=HYPERLINK(""x"")",-12.5,-3\r\n')
})
