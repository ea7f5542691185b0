/** Shown for what is missing. Never 0: a dispatcher would act on a zero. */
export const MISSING = '—'

/** A number as the API sends it: statistics as numbers, exact volumes as decimal strings. */
export type Numeric = number | string | null | undefined

/** The number behind a value, or `null` for what is missing or not a number. */
export function toNumber(value: Numeric): number | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string' && value.trim() === '') return null
  const number = Number(value)
  return Number.isFinite(number) ? number : null
}

const formats = new Map<string, Intl.NumberFormat>()

function format(digits: number, isSigned: boolean): Intl.NumberFormat {
  const key = `${digits}${isSigned}`
  let found = formats.get(key)
  if (found === undefined) {
    found = new Intl.NumberFormat('en-US', {
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
      signDisplay: isSigned ? 'exceptZero' : 'negative',
    })
    formats.set(key, found)
  }
  return found
}

function write(value: number | null, digits: number, isSigned = false): string {
  if (value === null) return MISSING
  // A typographic minus is as wide as the plus, so that signed columns line up.
  return format(digits, isSigned).format(value).replace('-', '−')
}

/** m³ as 万m³ (10⁴ m³): two decimals on screen, four (= 1 m³) where declarations are compared. */
export function wan(m3: Numeric, digits = 2, isSigned = false): string {
  const value = toNumber(m3)
  return write(value === null ? null : value / 10_000, digits, isSigned)
}

/** m³ as a whole number with thousands separators. */
export function cubic(m3: Numeric, isSigned = false): string {
  return write(toNumber(m3), 0, isSigned)
}

/** m³/h of a station or the whole city as 万m³/h, three decimals. */
export function wanFlow(m3h: Numeric): string {
  return wan(m3h, 3)
}

/** A ratio (0.552) as a percentage (55.2%). */
export function percent(ratio: Numeric, digits = 1, isSigned = false): string {
  const value = toNumber(ratio)
  return value === null ? MISSING : `${write(value * 100, digits, isSigned)}%`
}

/** Degrees Celsius, one decimal. */
export function celsius(value: Numeric): string {
  const number = toNumber(value)
  return number === null ? MISSING : `${write(number, 1)}℃`
}

/** A plain number with a fixed number of decimals. */
export function decimal(value: Numeric, digits: number, isSigned = false): string {
  return write(toNumber(value), digits, isSigned)
}

/** An uncertainty: two significant digits, at most four decimals; more would claim to know the unknown. */
export function significant(value: Numeric): string {
  const number = toNumber(value)
  if (number === null) return MISSING
  if (number === 0) return '0'
  const digits = Math.min(4, Math.max(0, 1 - Math.floor(Math.log10(Math.abs(number)))))
  return write(number, digits)
}

/** A count. */
export function count(value: Numeric): string {
  return write(toNumber(value), 0)
}

/** Sum of whole or exact parts, `null` as soon as one is missing: a partial sum is not a total. */
export function sumOrMissing(values: readonly Numeric[]): number | null {
  let sum = 0
  for (const value of values) {
    const number = toNumber(value)
    if (number === null) return null
    sum += number
  }
  return sum
}
