// Loaded into the gateway before it starts: on SIGUSR2 it collects and tells its memory on standard error.
import { writeSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')
process.on('SIGUSR2', async () => {
  for (let i = 0; i < 3; i++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  const line = JSON.stringify({ event: 'fuzz.memory', heapBytes: heapUsed + external, rssBytes: rss })
  writeSync(2, `${line}\n`)
})
