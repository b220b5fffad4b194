import type {
  Adapter,
  Core,
  Downlink,
  Intake,
  Link,
  Offset,
  Session,
  Taken,
  Uplink,
} from '../../src/contract/index.ts'
import { over } from './over.ts'

/**
 * What an adapter could get wrong, done to it from outside: between it and the core stands a port
 * that answers or acknowledges where it should not have yet.
 *
 *     adapter ─▶ broken port ─▶ core
 */
export type AdapterSabotage = (adapter: Adapter) => Adapter

/** How long what was acknowledged is only promised. */
const lagMs = 250

const withCore = (adapter: Adapter, change: (core: Core) => Core): Adapter =>
  over(adapter, { start: (core) => adapter.start(change(core)) })

/** MQTT: the PUBACK leaves before the event is kept. */
export const answersEarly: AdapterSabotage = (adapter) =>
  withCore(adapter, (core) =>
    over(core, {
      async admit(source) {
        const admitted = await core.admit(source)
        return admitted.kind === 'refused'
          ? admitted
          : { ...admitted, intake: early(admitted.intake) }
      },
    }),
  )

const early = (intake: Intake): Intake =>
  over(intake, {
    receive(channel, uplinks: readonly Uplink[], settled: (outcome: Taken) => void) {
      settled('kept')
      setTimeout(() => intake.receive(channel, uplinks, () => {}), lagMs)
    },
  })

/** Every session is told what its link did, when it does. */
function withSessions(
  adapter: Adapter,
  change: (link: Link, session: () => Session | undefined) => Partial<Link>,
  changeSession: (session: Session, top: () => Offset) => Partial<Session> = () => ({}),
): Adapter {
  return withCore(adapter, (core) =>
    over(core, {
      async attach(link, hello) {
        let session: Session | undefined
        let top = 0
        const changed = change(link, () => session)
        const broken = over(link, {
          ...changed,
          deliver(downlink: Downlink) {
            top = downlink.command.offset
            return (changed.deliver ?? link.deliver.bind(link))(downlink)
          },
        })
        const attached = await core.attach(broken, hello)
        if (attached.kind === 'refused') return attached
        session = attached.session
        return {
          ...attached,
          session: over(
            session,
            changeSession(session, () => top),
          ),
        }
      },
    }),
  )
}

/** CoAP: a notification counts as delivered once it is sent, whether or not anybody acknowledges it. */
export const countsUnacknowledged: AdapterSabotage = (adapter) =>
  withSessions(adapter, (link, session) => ({
    deliver(downlink) {
      const room = link.deliver(downlink)
      setImmediate(() => session()?.acknowledge(downlink.command.offset))
      return room
    },
  }))

/** HTTP: whatever the next request is, it acknowledges all that was answered, with `after` or without. */
export const acknowledgesUnasked: AdapterSabotage = (adapter) =>
  withSessions(
    adapter,
    () => ({}),
    (session, top) => ({
      touch() {
        if (top() > 0) session.acknowledgeUpTo(top())
        session.touch()
      },
    }),
  )

/** Any: what may have been sent before goes again as if it were new. */
export const forgetsMark: AdapterSabotage = (adapter) =>
  withSessions(adapter, (link) => ({
    deliver: (downlink) => link.deliver({ ...downlink, repeated: false }),
  }))
