import { useI18n } from 'vue-i18n'
import type { CodeGroup } from '@/api/codes'
import { locale } from '@/i18n'
import sentences from '../../locales/codes.zh-CN.json'

/** Names of codes and the choice between the two names some answers carry. */
export function useNames() {
  const { t, te } = useI18n()
  return {
    /** The name of an enum value; an unknown one is shown as it came, so that nothing is hidden. */
    codeName(group: CodeGroup, code: string | null | undefined): string {
      if (code === null || code === undefined || code === '') return '—'
      const key = `code.${group}.${code}`
      return te(key) ? t(key) : code
    },
    /** The name in the chosen language. */
    named(row: { name_zh: string; name_en: string }): string {
      return locale.value === 'en' ? row.name_en || row.name_zh : row.name_zh || row.name_en
    },
    /** The sentence in the chosen language. */
    said(row: { message_zh: string; message_en: string }): string {
      return locale.value === 'en' ? row.message_en || row.message_zh : row.message_zh || row.message_en
    },
    /** The title in the chosen language. */
    titled(row: { title_zh: string; title_en: string }): string {
      return locale.value === 'en' ? row.title_en || row.title_zh : row.title_zh || row.title_en
    },
    /**
     * What an error code means to the user, in the chosen language; `null` where only the API's own
     * detail, which is English, can say. In Chinese every code of the daemon has its sentence.
     */
    errorName(code: string): string | null {
      const key = `error.${code.replaceAll('.', '_')}`
      if (te(key)) return t(key)
      return locale.value === 'en' ? null : ((sentences as Record<string, string>)[code] ?? null)
    },
  }
}
