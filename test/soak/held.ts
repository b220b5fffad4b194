import { readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { collectGarbage, rssOf } from '../bench/machine.ts'
import type { Api } from '../crash/http.ts'
import type { Held } from './growth.ts'

/** Devices come and go: of so many looks the least is what stays. */
const looks = 10
const looksEveryMs = 100

/** What this gateway holds now. @param pid of one that collects its garbage when it is told to. */
export async function heldBy(pid: number, api: Api): Promise<Held> {
  await collectGarbage(pid)
  let heapBytes = Number.POSITIVE_INFINITY
  let descriptors = Number.POSITIVE_INFINITY
  let storeFiles = Number.POSITIVE_INFINITY
  for (let look = 0; look < looks; look++) {
    const open = openFiles(pid)
    descriptors = Math.min(descriptors, open.others)
    storeFiles = Math.min(storeFiles, open.store)
    // What the load left since the last collection would be counted too.
    process.kill(pid, 'SIGUSR2')
    await sleep(looksEveryMs)
    heapBytes = Math.min(heapBytes, await metric(api, 'nodejs_heap_size_used_bytes'))
  }
  return { atMs: performance.now(), heapBytes, rssBytes: rssOf(pid), descriptors, storeFiles }
}

async function metric(api: Api, name: string): Promise<number> {
  const { text } = await api.call('GET', '/metrics')
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  if (line === undefined) throw new Error(`/metrics has no ${name}`)
  return Number(line.slice(name.length + 1))
}

function openFiles(pid: number): { store: number; others: number } {
  const open = { store: 0, others: 0 }
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const isStore = /\.(ldb|sst|log)$|MANIFEST/.test(readlinkSync(`/proc/${pid}/fd/${fd}`))
      open[isStore ? 'store' : 'others']++
    } catch {
      // Closed between the two.
    }
  }
  return open
}
