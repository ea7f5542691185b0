import type { Theme } from '@/state/preferences'

/**
 * Fixed hues of customer classes, safe for colour-blind eyes (after Okabe and Ito): residential
 * blue, heating violet, industry slate, commerce amber, public service green, vehicles cyan. The
 * same class has the same hue on every page and in every report.
 */
const CLASS_HUES: Record<string, string> = {
  residential_cooking: '#0072b2',
  residential_heating: '#7b4fa3',
  district_heating: '#b48ad0',
  industrial: '#5b6b7b',
  commercial: '#e69f00',
  public_residential: '#66c2a5',
  public_service: '#009e73',
  vehicle_cng: '#33a9d6',
  vehicle_lng: '#8fd3f0',
  distributed_energy: '#8c6d31',
  power: '#a6761d',
  wheeling: '#a0a8b0',
  unaccounted: '#c4a8a0',
}

/** Hues of source classes; LNG and storage are hatched besides. */
const SOURCE_HUES: Record<string, string> = {
  pipeline_regulated: '#2a6fbb',
  pipeline_unregulated: '#3f98a8',
  pipeline_extra: '#8a6fb0',
  lng: '#33a9d6',
  cng: '#009e73',
  storage: '#b08a2e',
  other: '#7f8a95',
}

/** Peak slots warm, flat slots neutral, off-peak cool. */
const SLOT_HUES: Record<string, string> = {
  night: '#4a6fa5',
  early_peak: '#d9822b',
  forenoon: '#8aa0b4',
  noon_peak: '#e0a030',
  afternoon: '#a9b8c6',
  evening_peak: '#c2571a',
  late: '#6f8fae',
}

const SPARE = ['#2a6fbb', '#33a9d6', '#009e73', '#b08a2e', '#7b4fa3', '#5b6b7b', '#e69f00', '#8c6d31']

/** Hue of a class. */
export const classHue = (key: string): string => CLASS_HUES[key] ?? '#7f8a95'

/** Hue of a source class. */
export const sourceHue = (key: string): string => SOURCE_HUES[key] ?? '#7f8a95'

/** Hue of a key of any dimension; keys without a fixed hue take one by their place. */
export function keyHue(dimension: string, key: string, index: number): string {
  const fixed = dimension === 'class' ? CLASS_HUES[key] : dimension === 'slot' ? SLOT_HUES[key] : undefined
  return fixed ?? SPARE[index % SPARE.length] ?? '#7f8a95'
}

/** Colours of a chart that depend on the theme. */
export interface Ink {
  text: string
  muted: string
  line: string
  surface: string
  /** What was measured. */
  actual: string
  /** What is forecast. */
  forecast: string
  bandOuter: string
  /** What was nominated or declared. */
  declared: string
  /** What the contract says. */
  contract: string
  over: string
  under: string
  naive: string
  heat: string[]
}

const LIGHT: Ink = {
  text: '#1c2733',
  muted: '#52606d',
  line: '#e1e7ee',
  surface: '#ffffff',
  actual: '#0b5cad',
  forecast: '#2f7fd1',
  bandOuter: 'rgba(47, 127, 209, 0.18)',
  declared: '#111820',
  contract: '#7a8794',
  over: '#c2410c',
  under: '#1d5fbf',
  naive: '#8a6d3b',
  heat: ['#f2f7fc', '#d3e4f4', '#a3c9e8', '#69a6d6', '#3a7fbd', '#1d5a99', '#0e3a6b'],
}

const DARK: Ink = {
  text: '#e6edf5',
  muted: '#a9b8c8',
  line: '#2a3a4d',
  surface: '#152335',
  actual: '#5cb0ff',
  forecast: '#7cc0ff',
  bandOuter: 'rgba(124, 192, 255, 0.34)',
  declared: '#f2f5f8',
  contract: '#93a2b3',
  over: '#ff9a5c',
  under: '#74b3ff',
  naive: '#d6b575',
  heat: ['#16263a', '#1b3a5c', '#215180', '#2c6ca6', '#4a8fc9', '#82b8e3', '#c3e0f7'],
}

export const inkOf = (theme: Theme): Ink => (theme === 'dark' ? DARK : LIGHT)
