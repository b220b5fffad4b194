import { commandIds, type Grammar, nameOf, payloadOf, type Who } from '../grammar.ts'
import type { Random } from '../random.ts'
import { type Call, httpWords, strangeJson, written } from './http.ts'

const basic = ({ app, device, secret }: Who): string =>
  `Authorization: Basic ${Buffer.from(`${app}/${device}:${secret}`).toString('base64')}`

/** The API for devices over HTTP. */
export const deviceHttpGrammar: Grammar = {
  words: httpWords,
  opening(who, random) {
    const wrong = random.pick([
      [],
      ['Authorization: Basic !!!'],
      ['Authorization: Basic Og=='],
      ['Authorization: Bearer x'],
      [`Authorization: Bearer ${who.app}/${who.device}:wrong-secret-that-is-quite-long`],
      ['Authorization: Digest a="b"'],
      [basic({ ...who, device: '__proto__' })],
      [basic(who), basic(who)],
      [basic(who)],
    ])
    return [written({ ...callOf(who, random), headers: wrong }, random)]
  },
  session: (who, random) =>
    Array.from({ length: random.int(1, 3) }, () => written(callOf(who, random), random)),
}

function callOf(who: Who, random: Random): Call {
  const call = plainCall(who, random)
  const headers = [basic(who), ...call.headers]
  const isJson = call.body.startsWith('{')
  return {
    ...call,
    headers,
    body: isJson && random.chance(0.4) ? strangeJson(call.body, random) : call.body,
  }
}

function plainCall(who: Who, random: Random): Call {
  const id = encodeURIComponent(random.pick(commandIds(who.device)))
  const at = '/device/v1'
  const get = { method: 'GET', headers: [], body: '' }
  const post = { method: 'POST', headers: [] }
  switch (random.int(0, 9)) {
    case 0:
    case 1:
    case 2: {
      const name = encodeURIComponent(nameOf(random))
      const channel = random.pick([
        '',
        '',
        '?channel=urgent',
        '?channel=media',
        '?channel=',
        '?x=%',
      ])
      return { ...post, path: `${at}/events/${name}${channel}`, body: payloadOf(random).toString() }
    }
    case 3: {
      const line = '{"type":"a","payload":{"door":7},"stamp":"7.1"}\n'
      return {
        ...post,
        path: `${at}/events`,
        body: random.chance(0.5)
          ? line.repeat(random.pick([1, 3, 256, 257]))
          : strangeJson(line, random),
      }
    }
    case 4:
    case 5: {
      const some = [
        'wait=0',
        'wait=x',
        'epoch=1',
        'after=0',
        'after=9',
        'channel=main',
        'max=1',
        'sleep=1',
      ]
      const query = some.filter(() => random.chance(0.3)).join('&')
      return { ...get, path: `${at}/commands?wait=0&${query}` }
    }
    case 6:
    case 7: {
      const status = random.pick(['done', 'failed', 'rejected', 'x'])
      const body = `{"status":"${status}","reason":"jammed","payload":{"door":7}}`
      return { ...post, path: `${at}/replies/${id}`, body }
    }
    case 8: {
      const query = random.pick(['', '?epoch=1&upTo=1', '?epoch=1&offset=1', '?epoch=x&upTo=y'])
      return { ...post, path: `${at}/acks${query}`, body: '' }
    }
    default:
      return {
        ...get,
        method: random.pick(['DELETE', 'PUT', 'HEAD', 'OPTIONS', 'TRACE', 'PATCH', 'BREW']),
        path: random.pick([
          `${at}/commands`,
          `${at}/nothing`,
          '*',
          '/',
          `${at}/events/${'x'.repeat(600)}`,
        ]),
      }
  }
}
