import type { IncomingMessage, ServerResponse } from 'node:http'
import { setImmediate } from 'node:timers/promises'
import { type KeyRecord, StoreUnavailable } from '../contract/index.ts'
import { kdfFor } from '../secrets/secrets.ts'
import { apiBounds } from './bounds.ts'
import type { Chunks } from './chunks.ts'
import type { ApiContext } from './context.ts'
import type { DeviceItem, DeviceSource } from './device-lines.ts'
import type { ChangedDevice, DeviceRecords, WantedDevice } from './device-records.ts'
import { deviceFault } from './device-schemas.ts'
import { fieldRefusal, problemJson, problems, type Refusal, Refused } from './problems.ts'
import { DeviceLine } from './register-schemas.ts'
import { checker } from './validation.ts'

export interface RegisterCall {
  readonly context: ApiContext
  readonly records: DeviceRecords
  readonly key: KeyRecord
  readonly chunks: Chunks
  readonly source: DeviceSource
}

export const linesMediaType = 'application/x-ndjson'
/** Short secrets of one batch: each takes tens of milliseconds, and answers wait for their batch. */
const slowPerBatch = 16
/** How long what still comes is thrown away after the last answer. */
const lingerMs = 1_000

/**
 * One POST /v1/devices: lines in, answers out, in the same order.
 *
 *     request ─▶ source ─▶ lines here by now ─▶ checked, keys made ─▶ one batch of the store ─▶ response
 *        ▲ read only when all before is answered, and the answers are on their way
 */
export async function serveRegister(
  call: RegisterCall,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.writeHead(200, {
    'content-type': linesMediaType,
    'cache-control': 'no-store',
    // A proxy that collects an answer before it passes it on would never pass on this one.
    'x-accel-buffering': 'no',
  })
  response.flushHeaders()
  // What fails is the caller's connection; 'close' follows.
  response.on('error', () => {})
  const { clock, arrivals } = call.context
  let full = false
  arrivals.lasts(request, {
    waits: () => full || call.chunks.waits,
    cut: () => {
      if (full) response.destroy()
      else call.chunks.stop('request-timeout')
    },
  })
  for await (const text of answers(call)) {
    full = !response.write(text)
    if (full && !response.destroyed) await drained(response)
    full = false
    if (response.destroyed) break
  }
  response.end()
  arrivals.arrived(request)
  if (request.complete) return
  // What still comes is thrown away for a moment: a reset would take the answers with it.
  call.chunks.stop('bad-request')
  request.resume()
  clock.at(clock.nowMs() + lingerMs, 'register call', () => request.destroy())
}

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((go) => {
    const over = () => {
      response.off('drain', over).off('close', over)
      go()
    }
    response.on('drain', over).on('close', over)
  })

/** Batch by batch; while nobody takes the answers, nothing is read. */
async function* answers(call: RegisterCall): AsyncGenerator<string> {
  const { context, key, chunks, source } = call
  for (;;) {
    const items = (await source.next(apiBounds.registerBatchMaxDevices)) ?? []
    let from = 0
    while (from < items.length) {
      if (!context.auth.stillValid(key, 'devices')) chunks.stop('unauthorized')
      if (chunks.stopped !== undefined) break
      const batch = await prepare(call, items.slice(from))
      // Making keys of secrets takes time.
      if (!context.auth.stillValid(key, 'devices')) chunks.stop('unauthorized')
      if (chunks.stopped === 'unauthorized') break
      yield await put(call, batch)
      from += batch.length
    }
    const { stopped } = chunks
    // The last line says from where on nothing was kept.
    if (stopped !== undefined) {
      const line = items[from]?.line ?? source.lines + 1
      return yield refusedLine(line, { problem: stopped })
    }
    if (items.length === 0) return
  }
}

/** A line with what shall be kept of it, or why nothing. */
interface Prepared {
  readonly line: number
  readonly wanted: WantedDevice | Refusal
}

/** As many of the items as go into one batch. */
async function prepare(
  { records, key, context, source }: RegisterCall,
  items: readonly DeviceItem[],
): Promise<readonly Prepared[]> {
  const batch: (Prepared | Promise<Prepared>)[] = []
  let slow = 0
  for (const item of items) {
    if (slow >= slowPerBatch) break
    const { line } = item
    const fault = item.refusal === undefined ? faultOf(item.body) : undefined
    if (item.refusal !== undefined) batch.push({ line, wanted: item.refusal })
    else if (fault !== undefined) batch.push({ line, wanted: source.told(line, fault) })
    else {
      const { device, ...body } = (item as { body: unknown }).body as DeviceLine
      if (body.secret !== undefined && kdfFor(body.secret) === 'scrypt') slow++
      batch.push(
        records.prepare(key.app, device, body).then(
          (wanted) => ({ line, wanted }),
          (error: unknown) => {
            context.log?.error({ err: error }, 'making keys of a secret failed')
            return { line, wanted: { problem: 'internal' } }
          },
        ),
      )
    }
    if (batch.length % apiBounds.linesPerTurn === 0) await setImmediate()
  }
  return Promise.all(batch)
}

const check = checker(DeviceLine, 'body')

function faultOf(body: unknown): Refusal | undefined {
  const refusal = check(body)
  if (refusal !== undefined) return refusal
  const fault = deviceFault(body as DeviceLine)
  return fault === undefined ? undefined : fieldRefusal('body', fault.path, fault.message)
}

/** Keep a batch. @returns its answers, a line each. */
async function put(
  { context, records, key }: RegisterCall,
  batch: readonly Prepared[],
): Promise<string> {
  const wanted: WantedDevice[] = []
  for (const { wanted: one } of batch) if ('device' in one) wanted.push(one)
  let kept: readonly ChangedDevice[] = []
  let fault: Refusal | undefined
  try {
    if (wanted.length > 0) kept = await records.put(key, wanted)
  } catch (error) {
    if (error instanceof StoreUnavailable)
      fault = { problem: error.full ? 'store-full' : 'store-unavailable' }
    else if (error instanceof Refused) fault = { problem: error.problem, said: error.said }
    else {
      context.log?.error({ err: error }, 'registering devices failed')
      fault = { problem: 'internal' }
    }
  }
  let text = ''
  let next = 0
  for (const { line, wanted: one } of batch) {
    const refusal = 'device' in one ? fault : one
    text += refusal === undefined ? keptLine(line, kept[next++]!) : refusedLine(line, refusal)
  }
  return text
}

const keptLine = (line: number, { record, isNew, secret }: ChangedDevice): string =>
  `${JSON.stringify({ line, status: isNew ? 201 : 200, device: record.device, secret })}\n`

const refusedLine = (line: number, { problem, said }: Refusal): string =>
  `{"line":${line},"status":${problems[problem].status},"problem":${problemJson(problem, said)}}\n`
