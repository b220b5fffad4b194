import type { FastifyRequest } from 'fastify'

const query = /[?&](?:after|upTo|offset)=([0-9]{1,15})(?:&|$)/

/** A request for the flight recorder: never its headers, which have the secret. */
export function traceRequest(request: FastifyRequest): void {
  const { method, params, body, url, visitor, routeOptions } = request
  const { id, type } = params as { readonly id?: string; readonly type?: string }
  const payload = body instanceof Uint8Array ? body : undefined
  const said = query.exec(url)
  visitor.trail.frame('in', method, 0, {
    name: type ?? routeOptions.url,
    command: id !== undefined && id.length <= idMaxChars ? id : undefined,
    offset: said === null ? undefined : Number(said[1]),
    payload,
  })
}

/** Longer than any id of a command. */
const idMaxChars = 300
