import type { DeviceRecord } from '../contract/index.ts'
import { makeCredential, makeSecret } from '../secrets/secrets.ts'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { type DeviceRecords, rotated } from './device-records.ts'
import {
  Device,
  DeviceList,
  DeviceListQuery,
  DevicePut,
  deviceFault,
  EmptyBody,
  NewSecret,
} from './device-schemas.ts'
import { badField, refuse } from './problems.ts'
import { DevicePath } from './schemas.ts'
import { deviceView } from './views.ts'

/** /v1/devices: who exists, and how each is doing. */
export function deviceRoutes(app: App, context: ApiContext, records: DeviceRecords): void {
  const { names, gateway, auth } = context
  const onRequest = auth.scope('devices')

  const view = async (record: DeviceRecord, secret?: string) =>
    deviceView(
      record,
      gateway.presence(record.app, record.device),
      await gateway.depth(record.app, record.device),
      secret,
      gateway.keepalive(record.app, record.device),
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
      const { body, key } = request
      const { device } = request.params
      const fault = deviceFault(body)
      if (fault !== undefined) return badField(reply, 'body', fault.path, fault.message) as never
      const wanted = await records.prepare(key.app, device, body)
      const [put] = await records.put(key, [wanted])
      const { record, isNew, secret } = put!
      reply.header('cache-control', 'no-store')
      if (isNew) reply.code(201).header('location', `/v1/devices/${device}`)
      return view(record, secret)
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
        summary: 'Devices in order of name, all or those that have a tag',
        tags: ['devices'],
        querystring: DeviceListQuery,
        response: { 200: DeviceList },
      },
      config: { problems: ['invalid-request'] },
    },
    async (request) => {
      const { after, limit = apiBounds.pageItems, tag, presence } = request.query
      const query = { limit, ...(after !== undefined && { after }) }
      const page =
        tag === undefined
          ? await names.devices(request.key.app, query)
          : await withTag(context, request.key.app, tag, query)
      const wanted =
        presence === undefined
          ? page.items
          : page.items.filter(({ app, device }) => gateway.presence(app, device).state === presence)
      return {
        items: await Promise.all(wanted.map((record) => view(record))),
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
      const removed = await records.remove(request.key.app, request.params.device)
      return removed ? reply.code(204).send() : refuse(reply, 'unknown-device')
    },
  )

  app.post(
    '/v1/devices/:device/secrets',
    {
      onRequest,
      preValidation: (request, _reply, done) => {
        request.body ??= {}
        done()
      },
      schema: {
        summary: 'Give a device a new secret; the one before stays valid',
        description:
          'The first half of a rotation. Once the device has changed over, DELETE /v1/devices/{device}/secrets/older.',
        tags: ['devices'],
        params: DevicePath,
        body: EmptyBody,
        response: { 201: NewSecret },
      },
      config: {
        problems: ['invalid-request', 'unknown-device', 'store-unavailable', 'store-full'],
      },
    },
    async (request, reply) => {
      const { key, params } = request
      const secret = makeSecret()
      const credential = await makeCredential(secret, key.app, params.device)
      const record = await records.change(key, params.device, (before) => ({
        ...before,
        credentials: rotated(before.credentials, credential),
      }))
      if (record === undefined) return refuse(reply, 'unknown-device') as never
      reply.code(201).header('cache-control', 'no-store')
      return { device: record.device, secret, credentials: record.credentials.length }
    },
  )

  app.delete(
    '/v1/devices/:device/secrets/older',
    {
      onRequest,
      schema: {
        summary: 'End a rotation: only the newest secret stays valid',
        description: 'What is connected already stays so. Repeating it changes nothing.',
        tags: ['devices'],
        params: DevicePath,
        response: { 200: Device },
      },
      config: {
        problems: ['invalid-request', 'unknown-device', 'store-unavailable', 'store-full'],
      },
    },
    async (request, reply) => {
      const record = await records.change(request.key, request.params.device, (before) =>
        before.credentials.length < 2
          ? before
          : { ...before, credentials: before.credentials.slice(0, 1) },
      )
      if (record === undefined) return refuse(reply, 'unknown-device') as never
      return view(record)
    },
  )
}

/** The records behind a page of a tag. What lost the tag meanwhile is not shown. */
async function withTag(
  { names }: ApiContext,
  app: string,
  tag: string,
  query: { readonly after?: string; readonly limit: number },
) {
  const page = await names.tagged(app, tag, query)
  const records = await Promise.all(page.items.map((device) => names.device(app, device)))
  const items = records.filter((record) => record?.tags.includes(tag) === true) as DeviceRecord[]
  return { items, next: page.next }
}
