import type { ChannelId, Claim, Directory, LinkId, NodeId } from '../../contract/index.ts'

/** Claims a process can make before its terms would reach those of the next start. */
const termsPerStart = 2 ** 32

/**
 * One process, so claims are in memory; terms grow across restarts because the count of starts
 * is their upper part, and that is durable before the first claim (rule 19).
 */
export class LevelDirectory implements Directory {
  readonly #node: NodeId
  readonly #claims = new Map<ChannelId, Claim>()
  #term: number

  constructor(node: NodeId, starts: number) {
    this.#node = node
    this.#term = starts * termsPerStart
  }

  claim(channel: ChannelId, link: LinkId): Claim {
    this.#term += 1
    const claim: Claim = { channel, node: this.#node, link, term: this.#term }
    this.#claims.set(channel, claim)
    return claim
  }

  async renew(claim: Claim): Promise<boolean> {
    return this.#claims.get(claim.channel)?.term === claim.term
  }

  release(claim: Claim): void {
    if (this.#claims.get(claim.channel)?.term === claim.term) this.#claims.delete(claim.channel)
  }

  async find(channel: ChannelId): Promise<Claim | undefined> {
    return this.#claims.get(channel)
  }
}
