import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
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

/** `others`: with connections whose peer is gone, without those that have one: devices come and go. */
function openFiles(pid: number): { store: number; others: number } {
  const connected = connectedSockets()
  const open = { store: 0, others: 0 }
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const file = readlinkSync(`/proc/${pid}/fd/${fd}`)
      if (connected.has(file)) continue
      open[/\.(ldb|sst|log)$|MANIFEST/.test(file) ? 'store' : 'others']++
    } catch {
      // Closed between the two.
    }
  }
  return open
}

/** As /proc/PID/fd names them. Source: proc_pid_net(5), the columns `st` and `inode`. */
function connectedSockets(): ReadonlySet<string> {
  const established = '01'
  const sockets = new Set<string>()
  for (const table of ['tcp', 'tcp6'])
    for (const line of readFileSync(`/proc/net/${table}`, 'latin1').split('\n')) {
      const columns = line.trim().split(/\s+/)
      if (columns[3] === established) sockets.add(`socket:[${columns[9]}]`)
    }
  return sockets
}
