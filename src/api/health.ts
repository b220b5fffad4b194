import { apiBounds } from './bounds.ts'
import type { ApiContext, App } from './context.ts'
import { type ProblemName, problems, refuse } from './problems.ts'
import { Health, ProblemPage, Ready } from './schemas.ts'

/**
 * What needs no key: is it alive, is it ready, how is it doing, which problems there are. They
 * tell no tenant's data; the listener is on loopback until told otherwise.
 */
export function healthRoutes(app: App, { gateway, holds, metrics, version }: ApiContext): void {
  const open = { security: [] as never[] }

  app.get(
    '/healthz',
    {
      schema: {
        ...open,
        summary: 'Is the process alive?',
        tags: ['operation'],
        response: { 200: Health },
      },
    },
    async () => ({ status: 'ok' as const, version }),
  )

  app.get(
    '/readyz',
    {
      schema: {
        ...open,
        summary: 'Can commands be accepted?',
        tags: ['operation'],
        response: { 200: Ready },
      },
      config: { problems: ['not-ready'] },
    },
    async (_request, reply) => {
      const ready = holds.closed ? { ok: false, why: 'stopping' } : gateway.ready()
      if (ready.ok) return { status: 'ready' as const }
      const said = ready.why === undefined ? undefined : { detail: ready.why }
      return refuse(reply, 'not-ready', said, apiBounds.retryAfterSeconds * 1000) as never
    },
  )

  app.get(
    '/metrics',
    {
      schema: { ...open, summary: 'Figures, for Prometheus', tags: ['operation'] },
      config: {
        responses: {
          200: {
            description: 'Prometheus text format',
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
        },
      },
    },
    async (_request, reply) => {
      const { contentType, body } = await metrics()
      return reply.header('content-type', contentType).send(body)
    },
  )

  app.get(
    '/problems/:problem',
    {
      schema: {
        ...open,
        summary: "What a problem's type means, and what to do",
        tags: ['operation'],
        response: { 200: ProblemPage },
      },
      config: { problems: ['not-found'] },
    },
    async (request, reply) => {
      const { problem } = request.params as { problem: string }
      if (!Object.hasOwn(problems, problem)) return refuse(reply, 'not-found') as never
      const { title, status, advice } = problems[problem as ProblemName]
      return { type: `/problems/${problem}`, title, status, advice }
    },
  )
}
