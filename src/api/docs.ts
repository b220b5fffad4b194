import { hash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App } from './context.ts'
import { markdownToHtml } from './markdown.ts'
import { refuse } from './problems.ts'

/**
 * Everything comes from this server, nothing runs that is not in a file of ours, nobody frames it,
 * and what is typed into it, an API key for one, can only be sent back here.
 */
const policy = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
}

const headers = {
  'content-security-policy': Object.entries(policy)
    .map(([name, value]) => `${name} ${value}`)
    .join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/**
 * Pages for people: the API's description to read and try at `/docs`, and the guides beside it.
 * Reading needs no key; a key that is entered stays in the page and is forgotten with it.
 */
export async function docsRoutes(app: App): Promise<void> {
  const guides = readGuides()
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: policy,
    theme: { title: 'Pike IoT, the API' },
    uiConfig: {
      layout: 'BaseLayout', // without the bar that loads other people's documents
      deepLinking: true,
      docExpansion: 'list',
      defaultModelsExpandDepth: 0,
      displayRequestDuration: true,
      persistAuthorization: false,
    },
    uiHooks: { onRequest: (request, reply, done) => before(request, reply, done) },
  })
  let description: Page | undefined

  function before(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
    reply.headers(headers)
    const { url } = request.routeOptions
    // Written out for every reader these two would cost more than any other call.
    if (url === '/docs/yaml') refuse(reply, 'not-found', { detail: 'see /openapi.json' })
    else if (url === '/docs/json') {
      description ??= page(JSON.stringify(withGuide(app.swagger(), guides)))
      answer(reply, request.headers['if-none-match'], 'application/json', description)
    } else done()
  }

  const open = { schema: { hide: true } }
  app.get('/docs/guides.css', open, (request, reply) =>
    answer(reply, request.headers['if-none-match'], 'text/css; charset=utf-8', style),
  )
  app.get('/docs/:guide', open, (request, reply) => {
    const { guide } = request.params as { guide: string }
    const html = guides.get(guide)
    if (html === undefined) return refuse(reply, 'not-found')
    return answer(reply, request.headers['if-none-match'], 'text/html; charset=utf-8', html)
  })
}

const startPage = 'back-end'

const withGuide = (document: object, guides: ReadonlyMap<string, Page>): object =>
  guides.has(startPage)
    ? {
        ...document,
        externalDocs: {
          url: `/docs/${startPage}`,
          description: 'The guide: how to start, every outcome and what to do, events, webhooks',
        },
      }
    : document

interface Page {
  readonly text: string
  readonly etag: string
}

const page = (text: string): Page => ({ text, etag: `"${hash('sha256', text, 'base64url')}"` })

function answer(
  reply: FastifyReply,
  known: string | undefined,
  type: string,
  { text, etag }: Page,
): FastifyReply {
  reply.headers({ ...headers, etag, 'cache-control': 'no-cache' })
  return known === etag ? reply.code(304).send() : reply.type(type).send(text)
}

/** Every page of the folder `docs`, made once, at the start. */
function readGuides(): ReadonlyMap<string, Page> {
  const guides = new Map<string, Page>()
  const folder = guidesFolder()
  if (folder === undefined) return guides
  for (const file of readdirSync(folder)) {
    if (!file.endsWith('.md')) continue
    const text = readFileSync(new URL(file, folder), 'utf8')
    const title = /^# (.*)$/m.exec(text)?.[1] ?? file
    guides.set(file.slice(0, -'.md'.length), page(htmlOf(title, markdownToHtml(text))))
  }
  return guides
}

/** Beside the sources, whether this runs from them or from `dist`; undefined where it was left out. */
function guidesFolder(): URL | undefined {
  for (const path of ['../../docs/', '../../../docs/']) {
    const folder = new URL(path, import.meta.url)
    try {
      if (readdirSync(folder).includes(`${startPage}.md`)) return folder
    } catch {
      // Not there: the other place.
    }
  }
  return undefined
}

const htmlOf = (title: string, body: string): string => `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title.replace(/[&<>]/g, ' ')} · Pike IoT</title>
<link rel="stylesheet" href="/docs/guides.css">
</head>
<body>
<nav><a href="/docs">API</a> · <a href="/docs/back-end">Back end</a> · <a href="/docs/operations">Operations</a> · <a href="/docs/limits">Limits</a> · <a href="/docs/pike-protocol">Pike protocol</a></nav>
<main>
${body}
</main>
</body>
</html>
`

const style =
  page(`body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: #1b1f24; background: #fff }
nav { padding: 12px 24px; background: #f2f4f7; border-bottom: 1px solid #d5dae1 }
main { max-width: 62rem; margin: 0 auto; padding: 8px 24px 64px }
h1, h2, h3 { line-height: 1.25; margin-top: 1.8em }
a { color: #0b5cad }
code { font: 0.88em/1.4 ui-monospace, monospace; background: #f2f4f7; border-radius: 3px; padding: 0.1em 0.3em }
pre { overflow-x: auto; background: #f2f4f7; border-radius: 6px; padding: 12px 16px }
pre code { padding: 0; background: none }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto }
th, td { text-align: left; vertical-align: top; padding: 6px 12px 6px 0; border-bottom: 1px solid #e3e7ec }
@media (prefers-color-scheme: dark) {
  body { color: #dfe3e8; background: #15181c }
  nav, pre, code { background: #20252b }
  nav { border-color: #343b44 }
  th, td { border-color: #2b3139 }
  a { color: #7db8f5 }
}
`)
