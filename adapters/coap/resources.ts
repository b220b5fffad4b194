import type { Intake } from '../../src/contract/index.ts'
import { isIdentifier, mainChannel } from '../../src/contract/index.ts'
import { blockBytes, blockOf, blockOption, cut, szxMax } from './blocks.ts'
import { optionFault } from './checks.ts'
import { optionOf, uintOf, uintOption } from './codec.ts'
import { code, format, option } from './codes.ts'
import { attachAll, takeCommands } from './commands.ts'
import { amplificationMax } from './datagrams.ts'
import type { Exchange, Response } from './exchange.ts'
import type { House } from './house.ts'
import { type Login, welcome } from './login.ts'
import { pathOf, type Query, queryOf, secondsOf } from './query.ts'
import { refusal, wrong } from './reasons.ts'
import { type Report, takeEvent, takeReply, textFault } from './reports.ts'
import { serverResource } from './serving.ts'
import { CoapSession } from './session.ts'
import { channelsOf, type Sessions } from './sessions.ts'
import { fitting } from './sizes.ts'
import { traceRequest } from './trace.ts'
import type { Uploads } from './uploads.ts'

/** RFC 6690. */
const links = '</session>;rt="pike.session"'

/**
 * What can be asked for.
 *
 *     POST   session?device=                          who is there ─▶ s/{token}
 *     PUT    s/{token}                                a heartbeat; ?sleep= until when
 *     DELETE s/{token}                                goodbye
 *     GET    s/{token}[/channels/{c}]/commands        observe, poll, ?after= acknowledges
 *     POST   s/{token}[/channels/{c}]/events/{type}   an event
 *     POST   s/{token}/replies/{id}                   a reply
 *     GET    .well-known/core                         where to begin
 */
export class Resources {
  readonly #house: House
  readonly #sessions: Sessions
  readonly #login: Login
  readonly #uploads: Uploads

  constructor(house: House, sessions: Sessions, login: Login, uploads: Uploads) {
    this.#house = house
    this.#sessions = sessions
    this.#login = login
    this.#uploads = uploads
  }

  take(exchange: Exchange): void {
    const { options, code: method } = exchange.message
    const fault = optionFault(options) ?? textFault(options)
    if (fault !== undefined) {
      // RFC 7252 §5.4.1: a request nobody waits for with an acknowledgement is rejected in silence.
      this.#answer(exchange, fault)
      return
    }
    const path = pathOf(options)
    if (path[0] === 's' && path.length >= 2) {
      this.#takeOfSession(exchange, path)
    } else if (path[0] === 'session' && path.length === 1) {
      if (method === code.post) this.#takeLogin(exchange)
      else this.#answer(exchange, wrong(code.methodNotAllowed, 'POST'))
    } else if (path.length === 2 && path[0] === '.well-known' && path[1] === 'core') {
      if (method === code.get) this.#takeDiscovery(exchange)
      else this.#answer(exchange, wrong(code.methodNotAllowed, 'GET'))
    } else this.#answer(exchange, wrong(code.notFound, 'no such resource'))
  }

  #takeLogin(exchange: Exchange): void {
    if (blockOf(exchange.message.options, option.block1) !== undefined) {
      this.#answer(exchange, { code: code.requestEntityTooLarge })
      return
    }
    this.#answerLogin(exchange).catch(() => this.#answer(exchange, refusal('unavailable')))
  }

  async #answerLogin(exchange: Exchange): Promise<void> {
    const made = await this.#login.take(exchange)
    if (!(made instanceof CoapSession)) {
      this.#answer(exchange, made)
      return
    }
    const serving = made.sendingOf(serverResource)
    if (serving !== undefined) {
      const refused = await attachAll(made, serving.channels, serving)
      if (refused !== undefined) {
        this.#house.forget(made)
        this.#answer(exchange, refusal(refused.reason, refused.retryAfterMs))
        return
      }
    }
    made.heard(exchange.peer, exchange.bytes)
    made.answer(exchange, welcome(made))
    serving?.run()
  }

  #takeOfSession(exchange: Exchange, path: readonly string[]): void {
    const session = this.#sessions.find(path[1]!)
    if (session === undefined) {
      this.#answer(exchange, wrong(code.unauthorized, 'POST /session first'))
      return
    }
    session.heard(exchange.peer, exchange.bytes)
    traceRequest(session.trail, exchange, path)
    const { message } = exchange
    const query = queryOf(message.options)
    if (path.length === 2) {
      this.#takeSession(session, exchange, query)
      return
    }
    let rest = path.slice(2)
    let resource = ''
    if (rest[0] === 'channels') {
      resource = rest[1] ?? ''
      rest = rest.slice(2)
      if (!isIdentifier(resource)) {
        session.answer(exchange, refusal('unknown-channel'))
        return
      }
    }
    const [kind, name, ...more] = rest
    if (kind === 'commands' && rest.length === 1) {
      this.#takeCommands(session, exchange, resource, query)
    } else if (kind === 'events' && name !== undefined) {
      // A type may have slashes: it is what follows.
      const type = [name, ...more].join('/')
      this.#report(session, exchange, query, (report, answer) =>
        this.#takeEvent(session, resource === '' ? mainChannel : resource, type, report, answer),
      )
    } else if (kind === 'replies' && name !== undefined && more.length === 0 && resource === '') {
      this.#report(session, exchange, query, (report, answer) =>
        this.#takeReply(session, name, report, answer),
      )
    } else session.answer(exchange, wrong(code.notFound, 'no such resource'))
  }

  #takeSession(session: CoapSession, exchange: Exchange, query: Query): void {
    switch (exchange.message.code) {
      case code.put: {
        const sleepMs = secondsOf(query, 'sleep')
        if (sleepMs === 'malformed') {
          session.answer(exchange, wrong(code.badRequest, '?sleep= is in seconds'))
          return
        }
        void session.hint.answer(exchange, { code: code.changed })
        if (sleepMs !== undefined) session.sleep(sleepMs)
        return
      }
      case code.delete:
        session.answer(exchange, { code: code.deleted })
        session.end(true)
        this.#house.forget(session)
        return
      default:
        session.answer(exchange, wrong(code.methodNotAllowed, 'PUT or DELETE'))
    }
  }

  #takeCommands(session: CoapSession, exchange: Exchange, resource: string, query: Query): void {
    const { code: method, options } = exchange.message
    const accept = optionOf(options, option.accept)
    const accepted = accept === undefined ? format.text : uintOf(accept, 2)
    if (method !== code.get) {
      session.answer(exchange, wrong(code.methodNotAllowed, 'GET'))
    } else if (accepted !== format.text && accepted !== format.octets) {
      session.answer(exchange, wrong(code.notAcceptable, 'commands are of format 0 or 42'))
    } else {
      const channels = channelsOf(resource)
      takeCommands(this.#house, session, exchange, resource, channels, query).catch(() =>
        session.answer(exchange, refusal('unavailable')),
      )
    }
  }

  /** Once its body is whole and its device may speak. */
  #report(
    session: CoapSession,
    exchange: Exchange,
    query: Query,
    take: (report: Report, answer: (response: Response) => void) => void,
  ): void {
    const { message } = exchange
    if (message.code !== code.post) {
      session.answer(exchange, wrong(code.methodNotAllowed, 'POST'))
      return
    }
    const received = this.#uploads.take(exchange, session.token)
    if (received.kind === 'answer') {
      session.answer(exchange, received.response)
      return
    }
    const { body, options: echo } = received
    const done = session.speaking.settling()
    const looked = session.hint.look()
    take({ query, options: message.options, body }, (response) => {
      const { options = [] } = response
      const whole = echo.length === 0 ? response : { ...response, options: [...options, ...echo] }
      if (looked === undefined) {
        session.answer(exchange, whole)
        done()
      } else void session.hint.answer(exchange, whole, looked).then(done)
    })
  }

  #takeEvent(
    session: CoapSession,
    channel: string,
    type: string,
    report: Report,
    answer: (response: Response) => void,
  ): void {
    const { limits } = this.#house.core
    this.#speak(session, answer, (intake) =>
      takeEvent(intake, limits, channel, type, report, answer),
    )
  }

  #takeReply(
    session: CoapSession,
    id: string,
    report: Report,
    answer: (response: Response) => void,
  ): void {
    this.#speak(session, answer, (intake) =>
      takeReply(intake, id, report, (outcome, response) => {
        if (outcome === 'kept') session.replied(id)
        answer(response)
      }),
    )
  }

  #speak(
    session: CoapSession,
    answer: (response: Response) => void,
    speak: (intake: Intake) => void,
  ): void {
    session.speak(speak, ({ reason, retryAfterMs }) => answer(refusal(reason, retryAfterMs)))
  }

  #takeDiscovery(exchange: Exchange): void {
    const block = blockOf(exchange.message.options, option.block2)
    if (block === 'malformed') {
      this.#answer(exchange, wrong(code.badRequest, 'Block2 is malformed'))
      return
    }
    const body = Buffer.from(links)
    const room = exchange.bytes * amplificationMax - 24
    let szx = block?.szx ?? szxMax
    while (szx > 0 && Math.min(body.length, blockBytes(szx)) > room) szx--
    const part = cut(body, block?.number ?? 0, szx)
    if (part === undefined) {
      this.#answer(exchange, wrong(code.badRequest, 'there is no such block'))
      return
    }
    const options = [uintOption(option.contentFormat, format.links)]
    if (part.block.more || part.block.number > 0)
      options.push(blockOption(option.block2, part.block))
    this.#answer(exchange, { code: code.content, options, payload: part.payload })
  }

  /** To an address of which nothing is known. */
  #answer(exchange: Exchange, response: Response): void {
    const room = exchange.bytes * amplificationMax
    exchange.respond(fitting(response, exchange.message.token.length, room))
  }
}
