import { ref } from 'vue'

const narrow = window.matchMedia('(max-width: 700px)')

/** Whether the window is as narrow as a phone's; the same bound as in the style sheets. */
export const isNarrow = ref(narrow.matches)

narrow.addEventListener('change', (event) => (isNarrow.value = event.matches))
