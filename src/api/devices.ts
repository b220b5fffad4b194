import type { AppId, Credential, DeviceId, DeviceRecord } from '../contract/index.ts'
import { makeCredential, makeSecret } from '../secrets/secrets.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { Device, DeviceList, DeviceListQuery, DevicePut } from './device-schemas.ts'
import { badField, refuse } from './problems.ts'
import { DevicePath } from './schemas.ts'
import { Turns } from './turns.ts'
import { deviceView } from './views.ts'

/** /v1/devices: who exists, and how each is doing. */
export function deviceRoutes(app: App, context: ApiContext): void {
  const { names, gateway, auth } = context
  const onRequest = auth.scope('devices')
  const turns = new Turns()

  const view = async (record: DeviceRecord, secret?: string) =>
    deviceView(
      record,
      gateway.presence(record.app, record.device),
      await gateway.depth(record.app, record.device),
      secret,
    )

  app.put(
    '/v1/devices/:device',
    {
      onRequest,
      // No body at all is the shortest way to say: register it.
      preValidation: (request, _reply, done) => {
        request.body ??= {}
        done()
      },
      schema: {
        summary: 'Register or change a device',
        description:
          'What is left out stays as it is. A new device without `secret` is given one, shown this once. A new `secret` comes first and the one before stays valid, so at most two are.',
        tags: ['devices'],
        params: DevicePath,
        body: DevicePut,
        response: { 200: Device, 201: Device },
      },
      config: { problems: ['invalid-request', 'store-unavailable', 'store-full'] },
    },
    async (request, reply) => {
      const { body } = request
      const { device } = request.params
      const tenant = request.key.app
      if (
        body.attributes !== undefined &&
        Buffer.byteLength(JSON.stringify(body.attributes)) > apiBounds.attributesMaxBytes
      ) {
        const message = `is over ${apiBounds.attributesMaxBytes} bytes of JSON`
        return badField(reply, 'body', '/attributes', message) as never
      }
      reply.header('cache-control', 'no-store')
      return turns.take(`${tenant}/${device}`, async () => {
        const before = await names.device(tenant, device)
        const made = before === undefined && body.secret === undefined ? makeSecret() : undefined
        const record = await changed(context, tenant, device, before, body, made ?? body.secret)
        await names.putDevice(record)
        if (record.disabled) gateway.refuseDevice(tenant, device)
        if (before === undefined) reply.code(201).header('location', `/v1/devices/${device}`)
        return view(record, made)
      })
    },
  )

  app.get(
    '/v1/devices/:device',
    {
      onRequest,
      schema: {
        summary: 'A device with its presence and mailbox',
        tags: ['devices'],
        params: DevicePath,
        response: { 200: Device },
      },
      config: { problems: ['invalid-request', 'unknown-device'] },
    },
    async (request, reply) => {
      const record = await names.device(request.key.app, request.params.device)
      if (record === undefined) return refuse(reply, 'unknown-device') as never
      return view(record)
    },
  )

  app.get(
    '/v1/devices',
    {
      onRequest,
      schema: {
        summary: 'Devices in order of name',
        tags: ['devices'],
        querystring: DeviceListQuery,
        response: { 200: DeviceList },
      },
      config: { problems: ['invalid-request'] },
    },
    async (request) => {
      const { after, limit = apiBounds.pageItems } = request.query
      const page = await names.devices(request.key.app, {
        limit,
        ...(after !== undefined && { after }),
      })
      return {
        items: await Promise.all(page.items.map((record) => view(record))),
        next: page.next ?? null,
      }
    },
  )

  app.delete(
    '/v1/devices/:device',
    {
      onRequest,
      schema: {
        summary: 'Remove a device',
        description:
          'What was unsent ends `undeliverable` (device-removed), what may be sent `in-doubt`; its connections are closed.',
        tags: ['devices'],
        params: DevicePath,
      },
      config: {
        problems: ['invalid-request', 'unknown-device', 'store-unavailable', 'store-full'],
        responses: { 204: { type: 'null', description: 'Removed' } },
      },
    },
    async (request, reply) => {
      const { device } = request.params
      const tenant = request.key.app
      const removed = await turns.take(`${tenant}/${device}`, () =>
        gateway.removeDevice(tenant, device),
      )
      return removed ? reply.code(204).send() : refuse(reply, 'unknown-device')
    },
  )
}

/** The record after a PUT. */
async function changed(
  { clock }: ApiContext,
  app: AppId,
  device: DeviceId,
  before: DeviceRecord | undefined,
  body: DevicePut,
  secret: string | undefined,
): Promise<DeviceRecord> {
  const now = clock.nowMs()
  return {
    app,
    device,
    disabled: body.disabled ?? before?.disabled ?? false,
    tags: body.tags ?? before?.tags ?? [],
    attributes: body.attributes ?? before?.attributes ?? {},
    channels: body.channels ?? before?.channels ?? {},
    credentials:
      secret === undefined
        ? before!.credentials
        : rotated(before?.credentials ?? [], await makeCredential(secret, app, device)),
    createdAtMs: before?.createdAtMs ?? now,
    changedAtMs: now,
  }
}

/** Rule 31: the new one first, the one before beside it; giving the same again changes nothing. */
const rotated = (before: readonly Credential[], next: Credential): readonly Credential[] =>
  [next, ...before.filter(({ storedKey }) => storedKey !== next.storedKey)].slice(0, 2)
