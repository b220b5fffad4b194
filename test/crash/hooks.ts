import type { Caller } from './caller.ts'
import { textOf } from './http.ts'
import type { Journal } from './journal.ts'
import type { Hook } from './journal-many.ts'
import type { Parts } from './parts.ts'
import type { Receiver } from './receiver.ts'

/** The webhooks of a run: everything, only outcomes, only one device. */
const hooksOf = (device: string): readonly Hook[] => [
  { name: 'all', types: undefined, device: undefined },
  { name: 'ends', types: ['command.ended', 'command.late'], device: undefined },
  { name: 'one', types: undefined, device },
]

/**
 * Made before anything can happen, so that every event of the run is due. Repeating it, after a
 * crash in the middle, goes on where it stopped.
 */
export async function makeHooks(
  caller: Caller,
  journal: Journal,
  receiver: Receiver,
  parts: Parts,
  device: string,
): Promise<void> {
  if (parts.has('webhooks')) {
    for (const hook of hooksOf(device)) await makeHook(caller, journal, receiver, hook)
  }
  if (parts.has('callbacks') && !receiver.trusts('callbacks')) {
    receiver.trust('callbacks', await secretOf(caller, 'callbacks'))
  }
}

async function makeHook(
  caller: Caller,
  journal: Journal,
  receiver: Receiver,
  hook: Hook,
): Promise<void> {
  if (receiver.trusts(hook.name)) return
  const { name, types, device } = hook
  const url = `${receiver.base}/hook/${name}`
  const asked = { url, ...(types && { types }), ...(device && { device }) }
  const askedAtMs = Date.now()
  const { status, body, text } = await caller.insist('PUT', `/v1/webhooks/${name}`, { body: asked })
  if (status >= 300) throw new Error(`making webhook ${name} was answered ${status}: ${text}`)
  // One that was made while nobody listened keeps its secret to itself.
  receiver.trust(name, textOf(body, 'secret') ?? (await secretOf(caller, name)))
  journal.hooks.push(hook)
  journal.writes.push({
    register: `webhook/${name}`,
    value: 'there',
    askedAtMs,
    answeredAtMs: Date.now(),
    verdict: 'kept',
  })
}

async function secretOf(caller: Caller, name: string): Promise<string> {
  const { body, status, text } = await caller.insist('POST', `/v1/webhooks/${name}/secrets`)
  const secret = textOf(body, 'secret')
  if (secret === undefined)
    throw new Error(`a secret for ${name} was answered ${status}: ${text.slice(0, 200)}`)
  return secret
}
