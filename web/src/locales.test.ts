import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import en from '../locales/en.json'
import zh from '../locales/zh-CN.json'
import { CODES } from './api/codes'
import { COLUMNS, DEFAULT_KEYS, GROUPS, PINNED } from './pages/ledger/columns'

type Tree = { [key: string]: string | Tree }

function flatten(tree: Tree, prefix = ''): Map<string, string> {
  return new Map(
    Object.entries(tree).flatMap(([key, value]) =>
      typeof value === 'string' ? [[prefix + key, value] as const] : [...flatten(value, `${prefix}${key}.`)],
    ),
  )
}

const chinese = flatten(zh as Tree)
const english = flatten(en as Tree)
const placeholders = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].map((found) => found[1]).sort()

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name)
    if (statSync(path).isDirectory()) return sources(path)
    return /\.(ts|vue)$/.test(name) && !name.endsWith('.test.ts') ? [path] : []
  })
}

describe('both languages', () => {
  test('have the same keys', () => {
    expect([...english.keys()].sort()).toEqual([...chinese.keys()].sort())
  })

  test('have no empty text and the same placeholders', () => {
    for (const [key, text] of chinese) {
      expect(text.trim(), key).not.toBe('')
      expect(english.get(key)?.trim(), key).not.toBe('')
      expect(placeholders(english.get(key) ?? ''), key).toEqual(placeholders(text))
    }
  })

  test('have no mark that the message compiler reads as syntax', () => {
    for (const text of [...chinese.values(), ...english.values()]) expect(text).not.toMatch(/[|@]/)
  })

  test('English has no Chinese in it but for the name of the other language', () => {
    for (const [key, text] of english) {
      if (key !== 'app.language') expect(text, key).not.toMatch(/\p{Script=Han}/u)
    }
  })

  test('never call our unit Nm³', () => {
    for (const text of [...chinese.values(), ...english.values()]) expect(text).not.toMatch(/Nm/)
  })
})

describe('every code', () => {
  for (const [group, codes] of Object.entries(CODES)) {
    test(`of ${group} has a name`, () => {
      for (const code of codes) {
        expect(chinese.has(`code.${group}.${code}`), code).toBe(true)
        expect(english.has(`code.${group}.${code}`), code).toBe(true)
      }
    })
  }

  test('that has a name exists', () => {
    for (const key of chinese.keys()) {
      const [top, group, code] = key.split('.')
      if (top === 'code') expect(CODES[group as keyof typeof CODES] as readonly string[], key).toContain(code)
    }
  })
})

describe('the ledger', () => {
  test('has a name for each column and group', () => {
    for (const column of [...COLUMNS, ...PINNED]) expect(chinese.has(`ledger.col.${column.key}`), column.key).toBe(true)
    for (const group of GROUPS) expect(chinese.has(`ledger.group.${group}`)).toBe(true)
  })

  test('has each column once, in the order of the groups', () => {
    const keys = [...COLUMNS, ...PINNED].map((column) => column.key)
    expect(new Set(keys).size).toBe(keys.length)
    const order = COLUMNS.map((column) => GROUPS.indexOf(column.group))
    expect(order).toEqual([...order].sort((a, b) => a - b))
    expect(DEFAULT_KEYS).toContain('deviation')
    expect(DEFAULT_KEYS).not.toContain('contact_group')
  })
})

test('every text the code asks for exists', () => {
  const asked = new Set<string>()
  for (const path of sources(fileURLToPath(new URL('.', import.meta.url)))) {
    for (const [, key] of readFileSync(path, 'utf8').matchAll(/\bt\('([\w.]+)'/g)) if (key !== undefined) asked.add(key)
  }
  expect(asked.size).toBeGreaterThan(80)
  for (const key of asked) expect(chinese.has(key), key).toBe(true)
})

const domain = fileURLToPath(new URL('../../src/domain', import.meta.url))

/** Variants of an enum of the daemon as JSON spells them. */
function variants(file: string, name: string): string[] {
  const text = readFileSync(join(domain, file), 'utf8')
  const body = new RegExp(`pub enum ${name} \\{([\\s\\S]*?)\\n\\}`).exec(text)?.[1] ?? ''
  return [...body.matchAll(/^ {4}([A-Z]\w*)/gm)].map(([, variant = '']) =>
    // serde's snake_case puts no underscore before digits.
    variant.replace(/(?<!^)([A-Z])/g, '_$1').toLowerCase(),
  )
}

describe.skipIf(!existsSync(domain))('codes of the daemon are known here', () => {
  test('a gate of the backtest', () => {
    const text = readFileSync(join(domain, '../forecast/backtest/page.rs'), 'utf8')
    const gates = [...text.matchAll(/Gate::\w+ => "(\w+)"/g)].map(([, gate = '']) => gate)
    expect(gates.length).toBeGreaterThan(1)
    expect([...CODES.lead].sort()).toEqual(gates.sort())
  })

  test('a customer class has the daemon’s own Chinese name', () => {
    const text = readFileSync(join(domain, 'customer.rs'), 'utf8')
    const names = [...text.matchAll(/Self::(\w+) => "([^"]*\p{Script=Han}[^"]*|车用\w+)"/gu)].map(([, variant = '', name]) => [
      variant.replace(/(?<!^)([A-Z])/g, '_$1').toLowerCase(),
      name,
    ] as const)
    const classes = names.filter(([key]) => (CODES.class as readonly string[]).includes(key))
    expect(new Set(classes.map(([key]) => key)).size).toBe(CODES.class.length)
    for (const [key, name] of classes) expect(chinese.get(`code.class.${key}`), key).toBe(name)
  })

  test.each([
    ['customer.rs', 'CustomerClass', 'class'],
    ['customer.rs', 'SizeClass', 'size_class'],
    ['customer.rs', 'PriceTier', 'price_tier'],
    ['customer.rs', 'SaleMode', 'sale_mode'],
    ['customer.rs', 'ShiftPattern', 'shift'],
    ['source.rs', 'SourceClass', 'source_class'],
    ['meter.rs', 'MeterKind', 'meter_kind'],
    ['frame.rs', 'Transport', 'transport'],
    ['filing.rs', 'ChangeKind', 'change_kind'],
    ['finding.rs', 'Quality', 'quality'],
  ] as const)('%s %s', (file, name, group) => {
    const found = variants(file, name)
    expect(found.length).toBeGreaterThan(1)
    expect([...CODES[group]].sort()).toEqual(found.sort())
  })
})
