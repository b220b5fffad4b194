import { Type } from 'typebox'
import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import type { DeviceRecords } from './device-records.ts'
import { refuse } from './problems.ts'
import { closed, Identifier, Nullable, pageLimit } from './schemas.ts'

const TagPath = Type.Object({ tag: Identifier })
const TagDevicePath = Type.Object({ tag: Identifier, device: Identifier })
const TagQuery = Type.Object({ after: Type.Optional(Identifier), limit: pageLimit }, closed)
const TagPage = Type.Object(
  { items: Type.Array(Type.Object({ device: Identifier })), next: Nullable(Type.String()) },
  { title: 'TagPage' },
)

/** /v1/tags: names for many devices. A tag is kept with its devices; there is no record of its own. */
export function tagRoutes(app: App, context: ApiContext, records: DeviceRecords): void {
  const { names, auth } = context
  const onRequest = auth.scope('devices')
  const responses = { 204: { type: 'null', description: 'So it is' } }

  app.get(
    '/v1/tags/:tag',
    {
      onRequest,
      schema: {
        summary: 'Devices that have a tag, in order of name',
        tags: ['names'],
        params: TagPath,
        querystring: TagQuery,
        response: { 200: TagPage },
      },
      config: { problems: ['invalid-request'] },
    },
    async (request) => {
      const { after, limit = apiBounds.pageItems } = request.query
      const page = await names.tagged(request.key.app, request.params.tag, {
        limit,
        ...(after !== undefined && { after }),
      })
      return { items: page.items.map((device) => ({ device })), next: page.next ?? null }
    },
  )

  app.put(
    '/v1/tags/:tag/devices/:device',
    {
      onRequest,
      schema: {
        summary: 'Give a device a tag',
        description: 'Repeating it changes nothing.',
        tags: ['names'],
        params: TagDevicePath,
      },
      config: {
        problems: [
          'invalid-request',
          'unknown-device',
          'limit-reached',
          'store-unavailable',
          'store-full',
        ],
        responses,
      },
    },
    async (request, reply) => {
      const { tag, device } = request.params
      let isFull = false
      const record = await records.change(request.key, device, (before) => {
        if (before.tags.includes(tag)) return before
        isFull = before.tags.length >= apiBounds.tagsMax
        return isFull ? before : { ...before, tags: [...before.tags, tag] }
      })
      if (record === undefined) return refuse(reply, 'unknown-device')
      if (isFull)
        return refuse(reply, 'limit-reached', { limit: 'tagsMax', max: apiBounds.tagsMax })
      return reply.code(204).send()
    },
  )

  app.delete(
    '/v1/tags/:tag/devices/:device',
    {
      onRequest,
      schema: {
        summary: 'Take a tag from a device',
        description: 'Repeating it changes nothing.',
        tags: ['names'],
        params: TagDevicePath,
      },
      config: {
        problems: ['invalid-request', 'unknown-device', 'store-unavailable', 'store-full'],
        responses,
      },
    },
    async (request, reply) => {
      const { tag, device } = request.params
      const record = await records.change(request.key, device, (before) =>
        before.tags.includes(tag)
          ? { ...before, tags: before.tags.filter((other) => other !== tag) }
          : before,
      )
      if (record === undefined) return refuse(reply, 'unknown-device')
      return reply.code(204).send()
    },
  )
}
