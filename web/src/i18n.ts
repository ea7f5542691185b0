import { watch } from 'vue'
import { createI18n } from 'vue-i18n'
import en from '../locales/en.json'
import zh from '../locales/zh-CN.json'
import { isOneOf, remembered } from './state/preferences'

export const LOCALES = ['zh-CN', 'en'] as const
export type Locale = (typeof LOCALES)[number]

/** The language of this browser's user; Chinese until another is chosen. */
export const locale = remembered<Locale>('locale', 'zh-CN', isOneOf(LOCALES))

export const i18n = createI18n({
  legacy: false,
  locale: locale.value,
  fallbackLocale: 'zh-CN',
  messages: { 'zh-CN': zh, en },
})

watch(
  locale,
  (next) => {
    i18n.global.locale.value = next
    document.documentElement.lang = next
  },
  { immediate: true },
)
