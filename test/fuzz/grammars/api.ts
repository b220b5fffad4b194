import { type Grammar, nameOf, type Who } from '../grammar.ts'
import type { Random } from '../random.ts'
import { type Call, httpWords, strangeJson, written } from './http.ts'

/**
 * The API for back ends; `secret` is the key of an app that holds nothing dear.
 */
export const apiGrammar: Grammar = {
  words: httpWords,
  opening(who, random) {
    const wrong = random.pick([
      [],
      ['Authorization: Bearer'],
      ['Authorization: Bearer x'],
      ['Authorization: Basic eDp5'],
      [`Authorization: Bearer ${who.secret}`, 'Authorization: Bearer x'],
      [`authorization:${who.secret}`],
    ])
    return [written({ ...callOf(who, random), headers: wrong }, random)]
  },
  session: (who, random) =>
    Array.from({ length: random.int(1, 3) }, () => written(callOf(who, random), random)),
}

const json = 'Content-Type: application/json'
const lines = 'Content-Type: application/x-ndjson'

function callOf(who: Who, random: Random): Call {
  const call = plainCall(random)
  const headers = [`Authorization: Bearer ${who.secret}`, ...call.headers]
  return {
    ...call,
    headers,
    body: call.body !== '' && random.chance(0.5) ? strangeJson(call.body, random) : call.body,
  }
}

function plainCall(random: Random): Call {
  const device = random.chance(0.9) ? `api${random.int(0, 31)}` : encodeURIComponent(nameOf(random))
  const get = { method: 'GET', headers: [] as string[], body: '' }
  const post = { method: 'POST', headers: [json] }
  const put = { method: 'PUT', headers: [json] }
  const gone = { method: 'DELETE', headers: [] as string[], body: '' }
  const command =
    '{"name":"open","payload":{"door":7},"delivery":"queue","ttl":30,"expect":"ack","replyTimeout":9,"channel":"main","collapse":"a"}'
  const page = `?limit=${random.pick(['1', '1000', '1001', 'x', '-1'])}&after=${random.pick(['', 'x', '0', '%ff'])}`
  return random.pick<() => Call>([
    () => ({ ...post, path: `/v1/devices/${device}/commands`, body: command }),
    () => ({
      ...post,
      path: `/v1/devices/${device}/commands`,
      body: '{"name":"a","delivery":"now"}',
    }),
    () => ({
      ...post,
      path: `/v1/devices/${device}/commands`,
      body: '{"name":"a","notBefore":"2030-01-01T00:00:00Z","payloadBase64":"AAAA","contentType":"a/b"}',
    }),
    () => ({
      ...put,
      path: `/v1/devices/${device}`,
      body: `{"secret":"0123456789abcdef0123456789abcdef","tags":["t${random.int(0, 3)}"],"attributes":{"a":1},"channels":{"media":{"maxCommands":5,"overflow":"reject"}}}`,
    }),
    () => ({ ...get, path: `/v1/devices/${device}` }),
    () => ({ ...get, path: `/v1/devices${page}` }),
    () => ({ ...gone, path: `/v1/devices/${device}` }),
    () => ({ ...post, path: `/v1/devices/${device}/secrets`, body: '' }),
    () => ({
      ...put,
      path: `/v1/aliases/a${random.int(0, 9)}`,
      body: `{"device":"${device}","expiresAt":"2030-01-01T00:00:00Z"}`,
    }),
    () => ({ ...get, path: `/v1/aliases${page}` }),
    () => ({ ...post, path: `/v1/aliases/a${random.int(0, 9)}/commands`, body: command }),
    () => ({ ...put, path: `/v1/tags/t1/devices/${device}`, body: '' }),
    () => ({ ...get, path: `/v1/tags/t1${page}` }),
    () => ({
      ...post,
      path: '/v1/tags/t1/commands',
      body: '{"name":"a","rate":10,"stopAfterFailures":1}',
    }),
    () => ({ ...get, path: '/v1/broadcasts/x' }),
    () => ({
      method: 'POST',
      headers: [lines],
      path: '/v1/commands',
      body: `{"to":{"device":"${device}"},"name":"a"}\n{"to":{"alias":"a1"},"name":"b"}\n{"to":{"tag":"t1"},"name":"c"}\n`,
    }),
    () => ({
      method: 'POST',
      headers: [lines],
      path: '/v1/devices',
      body: `{"device":"${device}"}\n{"device":"api1","tags":["t2"]}\n`,
    }),
    () => ({
      method: 'POST',
      headers: ['Content-Type: text/csv'],
      path: '/v1/devices',
      body: `device,tags\n${device},"a b"\n"x""y",\n`,
    }),
    () => ({ ...get, path: `/v1/commands/${device}:main:1:1` }),
    () => ({ ...get, path: `/v1/commands/${device}:main:1:1/explain` }),
    () => ({ ...gone, path: `/v1/commands/${device}:main:1:1` }),
    () => ({
      ...get,
      path: `/v1/devices/${device}/commands?status=${random.pick(['open', 'done', 'x'])}`,
    }),
    () => ({
      ...get,
      path: `/v1/events?wait=0&type=${random.pick(['event', 'reply', 'x,y'])}&after=${random.pick(['', '1', 'x', '9'.repeat(30)])}`,
    }),
    () => ({
      ...put,
      path: `/v1/webhooks/w${random.int(0, 3)}`,
      body: '{"url":"http://192.0.2.1/","types":["event"],"devices":["api1"]}',
    }),
    () => ({ ...get, path: '/v1/webhooks' }),
    () => ({
      ...get,
      path: random.pick([
        '/v1/key',
        '/healthz',
        '/readyz',
        '/openapi.json',
        '/v1/apps',
        '/v1/backup',
        '/v1/nothing',
        '/docs',
      ]),
    }),
  ])()
}
