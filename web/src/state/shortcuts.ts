import { onMounted, onUnmounted } from 'vue'
import { useRouter } from 'vue-router'

/** The second key of a pair has to follow within this time. */
const PAIR_MS = 1_200

const TARGETS: Record<string, string> = { d: '/', f: '/forecast', l: '/ledger', p: '/planning', q: '/data' }

function isTyping(event: KeyboardEvent): boolean {
  const target = event.target
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName))
  )
}

/** `g d`, `g f`, `g l`, `g p`, `g q` change the page, `/` goes to the search field. */
export function useShortcuts(focusSearch: () => void): void {
  const router = useRouter()
  let startedAt = 0
  function onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return
    if (event.key === '/') {
      event.preventDefault()
      focusSearch()
      return
    }
    const now = Date.now()
    const target = TARGETS[event.key]
    if (now - startedAt < PAIR_MS && target !== undefined) {
      startedAt = 0
      void router.push(target)
      return
    }
    startedAt = event.key === 'g' ? now : 0
  }
  onMounted(() => window.addEventListener('keydown', onKey))
  onUnmounted(() => window.removeEventListener('keydown', onKey))
}
