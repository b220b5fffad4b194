import type { Core, LinkId } from '../../src/contract/index.ts'
import type { Messages } from './messages.ts'
import type { Serving } from './serving.ts'
import type { CoapSession } from './session.ts'

/** What all sessions of one adapter share. */
export interface House {
  readonly core: Core
  readonly messages: Messages
  /** A name for one link, by which it can be traced. */
  makeLinkId(): LinkId
  /** May it still act for its device, or was the secret it was made with changed since? */
  isWelcome(session: CoapSession): Promise<boolean>
  /** Its record is to be kept again; resolves once it is. Rejects when the store cannot be written. */
  keep(session: CoapSession): Promise<void>
  /** The same, at leisure. */
  keepSoon(session: CoapSession): void
  /** It is over: its token is nobody's. */
  forget(session: CoapSession): void
  /** A request is on its way to a device's server, by this token. */
  call(token: string, serving: Serving): void
  uncall(token: string): void
  /** It has another address. */
  moved(session: CoapSession, fromKey: string): void
}
