import { readFileSync } from 'node:fs'

/**
 * How often a connection was dropped because the backlog of its listener was full. Node tells neither
 * how long a backlog is nor that it overflows; Linux counts the latter, for all listeners of a network
 * namespace together (in a container: ours). A figure and no signal of overload: it may be another
 * program's, and who refuses for it would turn a flood of strangers into a closed door.
 */
export class BacklogDrops {
  readonly #read: () => string
  readonly #before: number

  /** @param read for tests: `/proc/net/netstat`. */
  constructor(read: () => string = () => readFileSync('/proc/net/netstat', 'latin1')) {
    this.#read = read
    this.#before = this.#now() ?? 0
  }

  /** Since it was made; none where nobody counts. */
  figures(): Readonly<Record<string, number>> {
    const now = this.#now()
    return now === undefined ? {} : { backlog_drops_total: Math.max(0, now - this.#before) }
  }

  #now(): number | undefined {
    try {
      return listenOverflows(this.#read())
    } catch {
      return undefined
    }
  }
}

/**
 *     TcpExt: SyncookiesSent … ListenOverflows …
 *     TcpExt: 15409          … 178860          …
 */
export function listenOverflows(netstat: string): number | undefined {
  const [names, values] = netstat
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '))
  const value = Number(values?.[names?.indexOf('ListenOverflows') ?? -1])
  return Number.isFinite(value) ? value : undefined
}
