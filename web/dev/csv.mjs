// The console's CSV export without a browser: reads answers of GET /api/v1/forecast as a JSON array from
// standard input and prints what 导出 CSV would save of each, as a JSON array. The daemon's own tests hold
// these files against what it prints itself.
import { fileURLToPath } from 'node:url'
import { createServer } from 'vite'

const root = fileURLToPath(new URL('..', import.meta.url))
const server = await createServer({
  root,
  configFile: false,
  appType: 'custom',
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
  resolve: { alias: { '@': `${root}src` } },
  server: { middlewareMode: true, ws: false, watch: null },
})
try {
  const { forecastCsv } = await server.ssrLoadModule('/src/model/forecastCsv.ts')
  const { toCsv } = await server.ssrLoadModule('/src/format/csv.ts')
  const chunks = []
  for await (const chunk of process.stdin) chunks.push(chunk)
  const files = JSON.parse(Buffer.concat(chunks).toString('utf8')).map((view) => {
    const names = new Map(view.labels.map((label) => [label.key, label.name_zh]))
    return toCsv(forecastCsv(view, null, (key) => names.get(key) ?? key, (key) => key))
  })
  process.stdout.write(JSON.stringify(files))
} finally {
  await server.close()
}
