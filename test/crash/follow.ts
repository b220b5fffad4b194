import { type Api, fieldOf, numberOf, textOf, timeOf } from './http.ts'
import type { Journal, LogEntry } from './journal.ts'
import { sleep } from './load.ts'

export interface FollowOptions {
  readonly journal: Journal
  readonly api: Api
  readonly era: () => number
}

/** Reads the event log from its first entry on, page by page, over all restarts. */
export class Follower {
  readonly #options: FollowOptions
  #cursor: string | undefined
  #running = false
  #loop: Promise<void> = Promise.resolve()

  constructor(options: FollowOptions) {
    this.#options = options
  }

  /** Does nothing while it runs. */
  start(): void {
    if (this.#running) return
    this.#running = true
    this.#loop = this.#follow()
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#loop
  }

  async #follow(): Promise<void> {
    const { journal, api, era } = this.#options
    while (this.#running) {
      const eraThen = era()
      try {
        const page = await readPage(api, this.#cursor, 1)
        if (era() !== eraThen) continue
        if (page === 'gone') {
          journal.oddities.push({
            rule: 'log-gone',
            text: `410 for the cursor ${this.#cursor}, which was just given`,
          })
          this.#cursor = undefined
          continue
        }
        journal.log.push(...page.items)
        this.#cursor = page.next ?? this.#cursor
      } catch {
        await sleep(100)
      }
    }
  }

  /** Once more from the beginning to where nothing follows. */
  async reread(): Promise<LogEntry[]> {
    const all: LogEntry[] = []
    let cursor: string | undefined
    for (;;) {
      const page = await readPage(this.#options.api, cursor, 0)
      if (page === 'gone') throw new Error(`410 for the cursor ${cursor} while rereading`)
      all.push(...page.items)
      if (page.items.length === 0) return all
      cursor = page.next
    }
  }
}

async function readPage(
  api: Api,
  cursor: string | undefined,
  waitS: number,
): Promise<{ items: LogEntry[]; next: string | undefined } | 'gone'> {
  const after = cursor === undefined ? '' : `&after=${encodeURIComponent(cursor)}`
  const answer = await api.call('GET', `/v1/events?limit=1000&wait=${waitS}${after}`)
  if (answer.status === 410) return 'gone'
  if (answer.status !== 200) throw new Error(`events answered ${answer.status}`)
  const items = fieldOf(answer.body, 'items')
  return {
    items: Array.isArray(items) ? items.map(entryOf) : [],
    next: textOf(answer.body, 'next'),
  }
}

function entryOf(item: unknown): LogEntry {
  return {
    id: textOf(item, 'id') ?? '',
    type: textOf(item, 'type') ?? '',
    device: textOf(item, 'device') ?? '',
    channel: textOf(item, 'channel'),
    atMs: timeOf(item, 'at'),
    command: textOf(item, 'command'),
    name: textOf(item, 'name'),
    status: textOf(item, 'status'),
    reason: textOf(item, 'reason'),
    askedBy: textOf(item, 'askedBy'),
    expiresAtMs: timeOf(item, 'expiresAt'),
    u: numberOf(fieldOf(item, 'payload'), 'u'),
    maybeRepeat: fieldOf(item, 'maybeRepeat') === true,
    body: JSON.stringify(item),
  }
}
