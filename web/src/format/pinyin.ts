/**
 * Pinyin initials for search: `华宇陶瓷` is found by `hytc`.
 *
 * A collator that sorts by pinyin tells between which two boundary characters a character falls, so
 * no dictionary need be shipped. A character with several readings gets its most common one.
 */
const BOUNDARIES = '阿八嚓哒妸发旮哈讥咔垃痳拏噢妑七呥扨它穵夕丫帀'
const INITIALS = 'ABCDEFGHJKLMNOPQRSTWXYZ'

const collator = new Intl.Collator('zh-CN-u-co-pinyin')

function initial(character: string): string {
  if (!/\p{Script=Han}/u.test(character)) return character
  let found = ''
  for (let index = 0; index < BOUNDARIES.length; index += 1) {
    if (collator.compare(BOUNDARIES[index] ?? '', character) > 0) break
    found = INITIALS[index] ?? ''
  }
  return found
}

/** Initials of a name in lower case; what is not Chinese stays as it is. */
export function initials(name: string): string {
  return [...name].map(initial).join('').toLowerCase()
}

/** Whether a search text matches a name or an account number, by characters or pinyin initials. */
export function matches(search: string, ...fields: readonly string[]): boolean {
  const wanted = search.trim().toLowerCase()
  if (wanted === '') return true
  return fields.some((field) => field.toLowerCase().includes(wanted) || initials(field).includes(wanted))
}
