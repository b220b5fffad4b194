import assert from 'node:assert/strict'
import fc from 'fast-check'
import { turn } from '../../support/turns.ts'
import { crash } from '../fates.ts'
import { isOpen } from '../state.ts'
import type { Answer, Story } from '../story.ts'
import { commandAsks, type Prepared, prepareSend } from './commands.ts'
import { changed, doubtful } from './devices.ts'
import { deviceName, nth } from './names.ts'

/** Calls side by side; a crash may come before they are answered, and what was not is repeated. */
export const cutAsks = {
  cut: fc.record({
    do: fc.constant('cut' as const),
    sends: fc.array(commandAsks.send, { minLength: 1, maxLength: 4 }),
    beside: fc.constantFrom(
      undefined,
      undefined,
      'put' as const,
      'cancel' as const,
      'remove' as const,
      'acknowledge' as const,
    ),
    device: deviceName,
    turns: fc.integer({ min: 0, max: 12 }),
    crashes: fc.constantFrom(true, true, false),
    repeats: fc.boolean(),
  }),
}

type Cut = typeof cutAsks.cut extends fc.Arbitrary<infer T> ? T : never

export const cuts = {
  async cut(story: Story, { sends, beside, device, turns, crashes, repeats }: Cut) {
    if (story.broken || story.failing) return
    const prepared = sends.map((send) => prepareSend(story, { ...send, wait: undefined }))
    const before = prepared.map(({ expect }) => expect())
    const answers: (Answer | undefined)[] = prepared.map(() => undefined)
    const inOrder: number[] = []
    let isOver = false
    const calls = prepared.map(({ ask, caller }, index) =>
      story.raw(ask, caller).then(
        (answer) => {
          if (isOver) return
          answers[index] = answer
          inOrder.push(index)
        },
        (error: unknown) => {
          if (!isOver) throw error
        },
      ),
    )
    const other = beside === undefined ? undefined : start(story, beside, device)
    if (crashes) for (let i = 0; i < turns; i++) await turn()
    else await Promise.all([...calls, other?.call])
    isOver = true
    for (const call of calls) call.catch(() => {})
    // In the order they were answered: each was right before or after those beside it.
    for (const index of inOrder) {
      const { ask, caller, expect, answered } = prepared[index]!
      const crowd = [
        '429 mailbox-full',
        '429 schedule-full',
        '429 over-quota',
        '409 idempotency-conflict',
      ]
      const gone =
        beside === 'remove' || beside === 'put'
          ? ['404 unknown-device', '409 device-disabled', '400 invalid-request', '200', '202']
          : []
      const beside429 =
        before[index]!.some((one) => one.startsWith('20')) && prepared.length > 1 ? crowd : []
      const { idempotency } = prepared[index]!
      const isShared = prepared.some(
        (it, at) => at !== index && it.idempotency?.key === idempotency?.key,
      )
      const shared = idempotency !== undefined && isShared ? ['409 idempotency-conflict'] : []
      const allowed = [...before[index]!, ...expect(), ...beside429, ...gone, ...shared]
      story.judgeAnswer(ask, answers[index]!, allowed, caller)
      story.sideBySide = true
      answered(answers[index]!)
      story.sideBySide = false
    }
    other?.over(crashes)
    if (!crashes) return
    const unanswered = prepared.filter((_, index) => answers[index] === undefined)
    for (const { lost } of unanswered) lost()
    await crash(story, true)
    if (repeats) for (const one of unanswered) await again(story, one)
  },
}

/** Whoever got no answer asks again, with the same key: it is one command. */
async function again(
  story: Story,
  { ask, caller, expect, answered, idempotency }: Prepared,
): Promise<void> {
  if (idempotency === undefined || idempotency.key === 'bad key') return
  await story.settle()
  answered(await story.call(ask, expect(), caller))
}

interface Beside {
  readonly call: Promise<unknown>
  /** `lost`: a crash comes now, so if it was not answered nobody knows. */
  readonly over: (lost: boolean) => void
}

function start(
  story: Story,
  kind: 'put' | 'cancel' | 'remove' | 'acknowledge',
  name: string,
): Beside | undefined {
  const caller = story.caller(0, 'admin')
  const { app } = caller
  let answer: Answer | undefined
  const ask = (method: 'PUT' | 'DELETE', route: string, url: string, body?: object) =>
    story.raw({ method, route, url, body }, caller).then(
      (it) => {
        answer = it
      },
      () => {},
    )
  if (kind === 'acknowledge') {
    const line = nth(
      [...story.lockers.values()].flatMap((one) => one.line ?? []),
      0,
    )
    const [offset, command] = [...(line?.out ?? [])][0] ?? []
    if (line?.talks === undefined || offset === undefined || command === undefined) return undefined
    line.heard()
    line.session!.acknowledge(offset)
    if (isOpen(command)) command.acks.push(story.fact())
    line.acknowledged(offset, false)
    return { call: Promise.resolve(), over: () => {} }
  }
  if (kind === 'cancel') {
    const command = nth([...app.commands.values()].filter(isOpen), 0)
    if (command === undefined) return undefined
    const fact = story.fact()
    command.cancels.push(fact)
    const call = ask('DELETE', '/v1/commands/{command}', `/v1/commands/${command.id}`)
    return {
      call,
      over: () => {
        if (answer?.status !== 200) Object.assign(fact, { maybe: true })
      },
    }
  }
  const known = app.devices.get(name)
  if (kind === 'remove') {
    if (known === undefined) return undefined
    story.removed(app.name, name)
    const call = ask('DELETE', '/v1/devices/{device}', `/v1/devices/${name}`)
    return {
      call,
      over: () => {
        if (answer === undefined) doubtful(story, app, name, undefined)
        else {
          assert.equal(answer.said, '204')
          app.devices.delete(name)
        }
      },
    }
  }
  const body = { tags: ['t1', 't2'] }
  const after = changed(story, app, name, body)
  const call = ask('PUT', '/v1/devices/{device}', `/v1/devices/${name}`, body)
  return {
    call,
    over: () => {
      if (answer === undefined) doubtful(story, app, name, after)
      else app.devices.set(name, after)
    },
  }
}
