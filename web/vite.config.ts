import { fileURLToPath, URL } from 'node:url'
import vue from '@vitejs/plugin-vue'
import ElementPlus from 'unplugin-element-plus/vite'
import { defineConfig } from 'vitest/config'

/** The daemon (or `npm run dev:fixtures`) that `npm run dev` and `npm run preview` ask for data. */
const backend = process.env.QILIANG_URL ?? 'http://127.0.0.1:8788'

const proxy = {
  '/api': { target: backend, changeOrigin: true },
}

export default defineConfig({
  plugins: [vue(), ElementPlus({})],
  resolve: {
    alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) },
  },
  server: { proxy },
  preview: { proxy },
  build: {
    target: 'es2022',
    // ECharts alone is about 600 kB before compression; it is loaded once and cached by its hash.
    chunkSizeWarningLimit: 800,
    rollupOptions: {
      output: {
        manualChunks(id: string) {
          if (/node_modules\/(echarts|zrender)\//.test(id)) return 'echarts'
          if (/node_modules\/(@?vue|vue-i18n|vue-router|@intlify)\b/.test(id)) return 'vue'
          return undefined
        },
      },
    },
  },
  test: {
    environment: 'node',
    include: ['src/**/*.test.ts'],
    server: { deps: { inline: ['element-plus'] } },
  },
})
