import type { ChannelId, NodeId } from './ids.ts'
import type { Offset } from './position.ts'

/** Short messages between nodes, at most once. What must not be lost is in a mailbox, not here. */
export interface Bus {
  send(to: NodeId, hint: Hint): void
  /** @returns stops listening. */
  listen(heard: (hint: Hint) => void): () => void
}

export type Hint =
  /** There is mail up to this offset. */
  | { readonly kind: 'mail'; readonly channel: ChannelId; readonly top: Offset }
  /** Another link holds the channel since this term. */
  | { readonly kind: 'taken-over'; readonly channel: ChannelId; readonly term: number }
