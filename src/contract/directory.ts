import type { ChannelId, LinkId, NodeId } from './ids.ts'

/** "This node holds this channel by this link." The higher term is right. */
export interface Claim {
  readonly channel: ChannelId
  readonly node: NodeId
  readonly link: LinkId
  readonly term: number
}

/**
 * Which node holds which channel. Terms grow with every claim of a channel, across restarts too
 * (`rules.md` 19).
 *
 * Exam: test/exams/directory.exam.ts.
 */
export interface Directory {
  /** Become the holder, whoever held it before. May answer at once. */
  claim(channel: ChannelId, link: LinkId): Claim | Promise<Claim>
  /** Still the holder? False means: taken over; write nothing more. */
  renew(claim: Claim): Promise<boolean>
  /** Repeating it, or releasing what another has claimed since, does nothing. */
  release(claim: Claim): void
  find(channel: ChannelId): Promise<Claim | undefined>
}
