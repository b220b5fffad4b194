import swagger from '@fastify/swagger'
import type { App } from './context.ts'
import { mediaTypesOf } from './media-types.ts'
import { type ProblemName, problemMediaType, problems } from './problems.ts'
import { Problem } from './schemas.ts'

type Json = Record<string, unknown>

/** Every call under /v1 may answer with these. */
const everywhere: readonly ProblemName[] = [
  'bad-request',
  'unauthorized',
  'forbidden',
  'too-many-wrong-keys',
  'path-too-long',
  'internal',
  'stopping',
]

/** And every call that may have a body with these. */
const ofBodies: readonly ProblemName[] = [
  'malformed-json',
  'too-deep',
  'request-timeout',
  'body-too-large',
  'unsupported-media-type',
  'too-many-bodies',
]

/** The schemas of the routes, told as OpenAPI 3.1. Register before the routes. */
export async function describeApi(app: App, version: string, bodyMaxBytes: number): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Pike IoT, northbound',
        version,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as never,
        description: 'Commands to devices, events from them. One honest outcome each.',
      },
      tags: [
        { name: 'devices', description: 'who exists' },
        { name: 'names', description: 'other names of devices: aliases and tags' },
        { name: 'commands', description: 'what shall be done, and what became of it' },
        { name: 'events', description: 'what devices say, and outcomes' },
        { name: 'webhooks', description: 'the same, pushed to you' },
        { name: 'apps', description: "tenants and their keys; with an administrator's key" },
        { name: 'operation', description: 'for who runs it; no key needed' },
      ],
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'An API key of one app.' },
        },
      },
      security: [{ key: [] }],
    },
    transform: ({ schema, url, route }) => {
      const config = (route.config ?? {}) as {
        problems?: readonly ProblemName[]
        takes?: Json
        responses?: Json
      }
      const isOurs = url.startsWith('/v1/')
      const method = String(route.method)
      const named = new Set([
        ...(config.problems ?? []),
        ...(isOurs ? everywhere : []),
        ...(isOurs && method !== 'GET' ? ofBodies : []),
      ])
      return {
        url,
        schema: {
          ...schema,
          operationId: operationId(method, url),
          ...(config.takes && { body: taken(config.takes) }),
          ...(isOurs && { headers: headersOf(url, method) }),
          response: {
            ...described((schema as { response?: Json } | undefined)?.response),
            ...config.responses,
            ...problemResponses(named, config.takes, bodyMaxBytes),
          },
        } as never,
      }
    },
    transformObject: (document) => {
      const { openapiObject } = document as { openapiObject?: Json }
      return hoistNamed(openapiObject ?? {}) as never
    },
  })
  app.get(
    '/openapi.json',
    {
      schema: { summary: 'This description', tags: ['operation'], security: [] },
      config: {
        responses: {
          200: {
            description: 'OpenAPI 3.1',
            content: { 'application/json': { schema: { type: 'object' } } },
          },
        },
      },
    },
    async (_request, reply) =>
      reply.header('content-type', 'application/json').send(JSON.stringify(app.swagger())),
  )
}

/** For generators of clients: `GET /v1/devices/:device/commands` is `getDeviceCommands`. */
function operationId(method: string, url: string): string {
  const parts = url
    .replace(/^\/v1\//, '/')
    .split('/')
    .filter((part) => part !== '')
  // What is named in the path says one of them: devices/:device is Device.
  const words = parts.flatMap((part, at) =>
    part.startsWith(':')
      ? [part === ':name' ? parts[at - 1]!.replace(/s$/, '') : part.slice(1)]
      : parts[at + 1]?.startsWith(':')
        ? []
        : [part],
  )
  const capital = (word: string) =>
    word.replace(/(?:^|[^A-Za-z0-9]+)([A-Za-z0-9])/g, (_, letter: string) => letter.toUpperCase())
  return method.toLowerCase() + words.map(capital).join('')
}

/** Headers are checked where they are read; here they are only told. */
function headersOf(url: string, method: string): Json | undefined {
  const prefer = {
    type: 'string',
    description: '`wait=N`: hold the call up to N s until the command has ended; at most 60.',
  }
  // Of lines each has its own key.
  if (method === 'POST' && url.endsWith('/commands') && url !== '/v1/commands') {
    const key = {
      type: 'string',
      minLength: 1,
      maxLength: 255,
      description: 'The same key and body give the same command for 24 h.',
    }
    const waits = url !== '/v1/tags/:tag/commands' && { Prefer: prefer }
    return { type: 'object', properties: { 'Idempotency-Key': key, ...waits } }
  }
  if (method === 'GET' && url === '/v1/commands/:command')
    return { type: 'object', properties: { Prefer: prefer } }
  if (url === '/v1/events') {
    const last = { type: 'string', description: 'An event id; goes before `after`.' }
    return { type: 'object', properties: { 'Last-Event-ID': last } }
  }
  return undefined
}

/** A body that is a stream: the schema is that of one line, as OpenAPI 3.1 has no word for it. */
const taken = (media: Json): Json => ({
  content: Object.fromEntries(Object.entries(media).map(([type, schema]) => [type, { schema }])),
})

const texts: Readonly<Record<string, string>> = { 200: 'As asked', 201: 'Made', 202: 'Kept, open' }

function described(responses: Json | undefined): Json {
  const out: Json = {}
  for (const [status, schema] of Object.entries(responses ?? {})) {
    out[status] = {
      description: texts[status] ?? 'As asked',
      content: { 'application/json': { schema } },
    }
  }
  return out
}

function problemResponses(
  names: Iterable<ProblemName>,
  takes: Json | undefined,
  bodyMaxBytes: number,
): Json {
  const byStatus = new Map<number, string[]>()
  for (const name of names) {
    const { status, title } = problems[name]
    const list = byStatus.get(status) ?? []
    list.push(`\`${name}\`: ${title}.${more(name, takes, bodyMaxBytes)}`)
    byStatus.set(status, list)
  }
  const out: Json = {}
  for (const [status, list] of byStatus) {
    out[status] = {
      description: list.join(' '),
      content: { [problemMediaType]: { schema: Problem } },
    }
  }
  return out
}

/** What a title that fits every call leaves open. */
function more(name: ProblemName, takes: Json | undefined, bodyMaxBytes: number): string {
  if (name === 'unsupported-media-type') return ` It takes ${mediaTypesOf(takes)}.`
  if (name !== 'body-too-large') return ''
  return takes === undefined
    ? ` At most ${bodyMaxBytes} bytes.`
    : ` One line, which fails alone: at most ${bodyMaxBytes} bytes. Of lines there may be as many as you like.`
}

/** Schemas with a title become components of that name, said once. */
function hoistNamed(document: Json): Json {
  const schemas: Json = {}
  const walk = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(walk)
    if (value === null || typeof value !== 'object') return value
    const node = value as Json
    const copy: Json = {}
    for (const [name, inner] of Object.entries(node)) copy[name] = walk(inner)
    const named = typeof node.title === 'string' && ('type' in node || 'anyOf' in node)
    if (!named) return copy
    schemas[node.title as string] = copy
    return { $ref: `#/components/schemas/${node.title as string}` }
  }
  const paths = walk(document.paths)
  return { ...document, paths, components: { ...(document.components as Json), schemas } }
}
