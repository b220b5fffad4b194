import type { ChannelId, Claim, Directory, LinkId, NodeId } from '../../contract/index.ts'
import type { MemoryDisk } from './disk.ts'

/** One node: the terms outlive it, the claims do not, since its links end with it. */
export class MemoryDirectory implements Directory {
  readonly #disk: MemoryDisk
  readonly #node: NodeId
  readonly #claims = new Map<ChannelId, Claim>()

  constructor(disk: MemoryDisk, node: NodeId) {
    this.#disk = disk
    this.#node = node
  }

  claim(channel: ChannelId, link: LinkId): Claim {
    this.#disk.term += 1
    const claim: Claim = { channel, node: this.#node, link, term: this.#disk.term }
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
