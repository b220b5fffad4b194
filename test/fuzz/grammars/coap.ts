import { generate } from 'coap-packet'
import { uintBytes } from '../../adapters/coap/client.ts'
import { commandIds, type Grammar, nameOf, oddNames, payloadOf } from '../grammar.ts'
import type { Random } from '../random.ts'

type Option = { readonly name: string; readonly value: Buffer }

const path = (text: string): Option[] =>
  text.split('/').map((name) => ({ name: 'Uri-Path', value: Buffer.from(name) }))
const query = (text: string): Option => ({ name: 'Uri-Query', value: Buffer.from(text) })
const number = (option: number, value: number): Option => ({
  name: String(option),
  value: uintBytes(value),
})

function message(random: Random, code: string, options: Option[], payload: Uint8Array): Buffer {
  return generate(
    {
      code,
      confirmable: random.chance(0.8),
      messageId: random.int(0, 65_535),
      token: Buffer.alloc(random.pick([0, 1, 4, 4, 8]), random.int(0, 255)),
      options: options.sort((a, b) => numberOf(a) - numberOf(b)),
      payload: Buffer.from(payload),
    },
    65_507,
  )
}

const numberOf = ({ name }: Option): number =>
  name === 'Uri-Path' ? 11 : name === 'Uri-Query' ? 15 : Number(name)

const nothing = Buffer.alloc(0)

export const coapGrammar: Grammar = {
  words: [
    ...[
      's',
      'session',
      'commands',
      'events',
      'replies',
      'channels',
      'device=',
      'proof=hkdf',
      'after=',
      'wait=9',
    ],
    ...oddNames,
  ]
    .map((word) => Buffer.from(word))
    .concat(
      ['ff', 'd0', 'e0', 'f0', 'dd', 'ee', 'b1', 'd1ffff', 'e1ffff00'].map((hex) =>
        Buffer.from(hex, 'hex'),
      ),
    ),
  opening: (who, random) => {
    const device = random.chance(0.8) ? who.device : random.pick(['nobody', '__proto__', '', '..'])
    const options = [...path('session'), query(`device=${device}`), query(`app=${who.app}`)]
    if (random.chance(0.3)) options.push(query(`keepalive=${random.pick(['5', '60', '-1', 'x'])}`))
    if (random.chance(0.1)) options.push(query('server=coap'))
    const isProof = random.chance(0.3)
    if (isProof) options.push(query(`proof=${random.pick(['hkdf', 'scrypt', 'x'])}`))
    if (isProof && random.chance(0.5)) options.push({ name: '252', value: Buffer.alloc(20, 7) })
    const payload = isProof ? Buffer.alloc(32, 1) : Buffer.from(who.secret)
    return [message(random, 'POST', options, random.chance(0.8) ? payload : nothing)]
  },
  session(who, random) {
    const { session } = who
    const at = session === '' || random.chance(0.1) ? 's/AAAAAAAAAAAAAAAAAAAAAA' : session
    return Array.from({ length: random.int(1, 3) }, () => request(random, at, who.device))
  },
}

function request(random: Random, at: string, device: string): Buffer {
  const channel = random.chance(0.2) ? `/channels/${random.pick(['urgent', 'media', '..'])}` : ''
  switch (random.int(0, 11)) {
    case 0:
    case 1:
    case 2: {
      const options = path(`${at}${channel}/events/${nameOf(random)}`)
      if (random.chance(0.3))
        options.push(query(`stamp=${random.pick(['7.1', '7.2', 'x', '0.0'])}`))
      if (random.chance(0.3)) options.push(number(12, random.pick([0, 42, 50, 60, 61, 65_535])))
      return message(random, 'POST', options, payloadOf(random).subarray(0, 2_000))
    }
    case 3: {
      // A block of a body, perhaps the first, perhaps never the last.
      const block =
        (random.pick([0, 1, 2, 47, 48, 1_048_575]) << 4) | random.pick([0, 6, 8, 14, 15])
      const options = [...path(`${at}/events/a`), number(27, block >>> 0)]
      if (random.chance(0.5)) options.push(number(292, random.int(0, 3)))
      if (random.chance(0.3))
        options.push(number(60, random.pick([1, 49_152, 49_153, 2 ** 32 - 1])))
      return message(random, 'POST', options, Buffer.alloc(random.pick([16, 1_024]), 0x78))
    }
    case 4:
    case 5: {
      const options = path(`${at}${channel}/commands`)
      if (random.chance(0.6)) options.push(number(6, random.pick([0, 0, 1, 2, 16_777_215])))
      if (random.chance(0.3)) options.push(number(23, random.pick([0, 2, 6, 0x16, 0xfffff6])))
      if (random.chance(0.3)) options.push(query(`after=${random.pick(commandIds(device))}`))
      if (random.chance(0.2)) options.push(query(`sleep=${random.pick(['0', '1', '-1', '1e9'])}`))
      return message(random, 'GET', options, nothing)
    }
    case 6:
    case 7: {
      const options = path(`${at}/replies/${random.pick(commandIds(device))}`)
      options.push(query(`status=${random.pick(['done', 'failed', 'rejected', 'x'])}`))
      return message(random, 'POST', options, payloadOf(random).subarray(0, 2_000))
    }
    case 8:
      return message(
        random,
        'PUT',
        [...path(at), query(`sleep=${random.pick(['0', '1', 'x'])}`)],
        nothing,
      )
    case 9:
      return random.chance(0.3)
        ? message(random, 'DELETE', path(at), nothing)
        : message(random, 'GET', path('.well-known/core'), nothing)
    case 10:
      // An answer nobody asked for, an acknowledgement of nothing, a ping.
      return generate({
        code: random.pick(['2.05', '2.04', '4.04', '0.00', '0.00']),
        confirmable: random.chance(0.5),
        ack: random.chance(0.3),
        messageId: random.int(0, 65_535),
      })
    default: {
      const options = [...path(at), number(random.int(0, 65_535), random.int(0, 9))]
      return message(random, random.pick(['GET', 'POST', 'PUT', 'DELETE']), options, nothing)
    }
  }
}
