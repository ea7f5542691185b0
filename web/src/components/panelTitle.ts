import type { InjectionKey, Ref } from 'vue'

/** Title of the panel a component stands in: names what in it has no name of its own. */
export const PANEL_TITLE: InjectionKey<Readonly<Ref<string>>> = Symbol('panel title')
