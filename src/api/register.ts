import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { type KeyRecord, StoreUnavailable } from '../contract/index.ts'
import { kdfFor } from '../secrets/secrets.ts'
import { apiBounds } from './bounds.ts'
import { Chunks } from './chunks.ts'
import type { ApiContext, App } from './context.ts'
import { type DeviceItem, type DeviceSource, JsonDevices } from './device-lines.ts'
import type { ChangedDevice, DeviceRecords, WantedDevice } from './device-records.ts'
import { CsvDevices } from './device-rows.ts'
import { deviceFault } from './device-schemas.ts'
import {
  fieldRefusal,
  problemJson,
  problems,
  type Refusal,
  Refused,
  refuse,
  refuseWith,
} from './problems.ts'
import { DeviceLine, DeviceLineAnswer, DeviceRows } from './register-schemas.ts'
import { validatorCompiler } from './validation.ts'

const linesMediaType = 'application/x-ndjson'
const rowsMediaType = 'text/csv'
/** Short secrets of one batch: each takes tens of milliseconds, and answers wait for their batch. */
const slowPerBatch = 16

/** POST /v1/devices: many at once, answered line by line as they are kept. */
export function registerRoutes(app: App, context: ApiContext, records: DeviceRecords): void {
  const { auth, limits, holds } = context
  let running = 0

  app.register(async (scope) => {
    // Here, and only here, such a body is read as it comes.
    scope.removeAllContentTypeParsers()
    for (const type of [linesMediaType, rowsMediaType])
      scope.addContentTypeParser(type, (_request, body, done) => done(null, body))
    scope.post(
      '/v1/devices',
      {
        onRequest: auth.scope('devices'),
        schema: {
          summary: 'Register or change many devices',
          description:
            'Each line as PUT /v1/devices/{device}: existing devices are changed, new ones without `secret` are given one. Answered in the same order, each line once it is kept; a bad line fails alone. Of a device given twice the later line wins.',
          tags: ['devices'],
        },
        config: {
          problems: ['invalid-request', 'unsupported-media-type', 'too-many-streams'],
          takes: { [linesMediaType]: DeviceLine, [rowsMediaType]: DeviceRows },
          responses: {
            200: {
              description: 'One line for each',
              content: { [linesMediaType]: { schema: DeviceLineAnswer } },
            },
          },
        },
      },
      async (request, reply) => {
        const body = request.body as Readable | undefined
        if (body === undefined) return refuse(reply, 'unsupported-media-type')
        if (running >= limits.lineCallsMax)
          return refuse(reply, 'too-many-streams', undefined, apiBounds.retryAfterSeconds * 1000)
        const chunks = new Chunks(body)
        running++
        const release = holds.add(() => chunks.stop())
        const over = () => {
          release()
          running--
        }
        try {
          const isRows = request.headers['content-type']!.toLowerCase().startsWith(rowsMediaType)
          const source = isRows
            ? new CsvDevices(chunks, limits.bodyMaxBytes)
            : new JsonDevices(chunks, limits.bodyMaxBytes)
          const fault = await source.begin()
          if (fault !== undefined) {
            over()
            return refuseWith(reply, fault)
          }
          const answers = Readable.from(answer(context, records, request.key, source), {
            objectMode: false,
          })
          answers.once('close', over)
          return reply.header('content-type', linesMediaType).send(answers)
        } catch (error) {
          over()
          throw error
        }
      },
    )
  })
}

/** What is answered, batch by batch; while nobody takes it, nothing is read. */
async function* answer(
  context: ApiContext,
  records: DeviceRecords,
  key: KeyRecord,
  source: DeviceSource,
): AsyncGenerator<string> {
  const { auth, holds } = context
  for (;;) {
    const items = await source.next(apiBounds.registerBatchMaxDevices)
    if (items === undefined) return
    for (let from = 0; from < items.length; ) {
      const { line } = items[from]!
      if (holds.closed) return yield refusedLine(line, { problem: 'stopping' })
      if (!auth.stillValid(key, 'devices'))
        return yield refusedLine(line, { problem: 'unauthorized' })
      const batch = await prepare(records, key, items, from)
      yield await put(context, records, key, batch)
      from += batch.length
    }
  }
}

/** A line with what shall be kept of it, or why nothing. */
interface Prepared {
  readonly line: number
  readonly wanted: WantedDevice | Refusal
}

/** As many of the items as go into one batch. */
async function prepare(
  records: DeviceRecords,
  key: KeyRecord,
  items: readonly DeviceItem[],
  from: number,
): Promise<readonly Prepared[]> {
  const batch: Promise<Prepared>[] = []
  let slow = 0
  for (const item of items.slice(from)) {
    if (slow >= slowPerBatch) break
    const { line } = item
    const fault = item.refusal ?? faultOf(item.body)
    if (fault !== undefined) batch.push(Promise.resolve({ line, wanted: fault }))
    else {
      const { device, ...body } = (item as { body: unknown }).body as DeviceLine
      if (body.secret !== undefined && kdfFor(body.secret) === 'scrypt') slow++
      batch.push(
        records.prepare(key.app, device, body).then(
          (wanted) => ({ line, wanted }),
          () => ({ line, wanted: { problem: 'internal' } }),
        ),
      )
    }
    if (batch.length % apiBounds.linesPerTurn === 0) await setImmediate()
  }
  return Promise.all(batch)
}

const fits = validatorCompiler({ schema: DeviceLine, method: 'POST', url: '', httpPart: 'body' })

function faultOf(body: unknown): Refusal | undefined {
  const checked = fits(body) as true | { error: Refused }
  if (checked !== true) return { problem: checked.error.problem, said: checked.error.said }
  const fault = deviceFault(body as DeviceLine)
  return fault === undefined ? undefined : fieldRefusal('body', fault.path, fault.message)
}

/** Keep a batch. @returns its answers, a line each. */
async function put(
  { log }: ApiContext,
  records: DeviceRecords,
  key: KeyRecord,
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
      log?.error({ err: error }, 'registering devices failed')
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
