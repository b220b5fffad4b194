import { type Api, fieldOf, numberOf, textOf } from './http.ts'
import type { CountsSeen, Journal } from './journal.ts'
import type { AppCounts } from './journal-many.ts'
import { sleep } from './load.ts'

/** What became of accepted commands that have no published end yet; `all`: of every command. */
export async function lookAtCommands(api: Api, journal: Journal, all: boolean): Promise<void> {
  const { log, asks } = journal
  const ended = new Set<string>()
  for (const { type, command } of log) {
    if (type === 'command.ended' && command !== undefined) ended.add(command)
  }
  const ids = new Set<string>(all ? ended : [])
  for (const ask of asks) {
    for (const { accepted } of ask.attempts) {
      if (accepted !== undefined && !ended.has(accepted.id)) ids.add(accepted.id)
    }
  }
  const queue = [...ids]
  const one = async (): Promise<void> => {
    for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
      await lookAt(api, journal, id, all ? 5 : 1)
    }
  }
  await Promise.all(Array.from({ length: 8 }, one))
}

async function lookAt(api: Api, journal: Journal, id: string, patience: number): Promise<void> {
  for (; patience > 0; patience--) {
    try {
      const { status, body } = await api.call('GET', `/v1/commands/${id}`)
      if (status !== 200 && status !== 404) throw new Error(`answered ${status}`)
      journal.statuses.set(id, {
        kind: status === 404 ? 'missing' : fieldOf(body, 'ended') === true ? 'ended' : 'open',
        status: textOf(body, 'status') ?? '',
        name: textOf(body, 'name'),
        reason: textOf(body, 'reason'),
        atMs: Date.now(),
      })
      return
    } catch {
      if (patience > 1) await sleep(300)
    }
  }
}

/** The gateway's own counting; undefined where it does not say. */
export async function ownCounts(api: Api): Promise<CountsSeen | undefined> {
  try {
    const { status, text } = await api.call('GET', '/metrics')
    if (status !== 200) return undefined
    const sum = (name: string): number | undefined => {
      let total: number | undefined
      for (const line of text.split('\n')) {
        if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue
        total = (total ?? 0) + Number(line.slice(line.lastIndexOf(' ')))
      }
      return total
    }
    const accepted = sum('pike_commands_accepted_total')
    const open = sum('pike_commands_open')
    if (accepted === undefined || open === undefined) return undefined
    return { accepted, open, ended: sum('pike_commands_ended_total') ?? 0 }
  } catch {
    return undefined
  }
}

/** The same of the app, as back ends see it. */
export async function appCounts(api: Api): Promise<AppCounts | undefined> {
  try {
    const { status, body } = await api.call('GET', '/v1/apps/default')
    if (status !== 200) return undefined
    const said = fieldOf(body, 'commands')
    return {
      accepted: numberOf(said, 'accepted') ?? Number.NaN,
      open: numberOf(said, 'open') ?? Number.NaN,
      ended: (fieldOf(said, 'ended') ?? {}) as Record<string, number>,
    }
  } catch {
    return undefined
  }
}
