import { lookup as systemLookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { webhookBounds } from './bounds.ts'

/**
 * Who may be called. Webhook URLs come from back ends, which must not reach through us what they
 * could not reach themselves: our own host, the network we stand in, a cloud's metadata.
 *
 * An address is judged when a URL is given and again at every connection, by the very addresses
 * connected to: a name may mean something else by then (DNS rebinding).
 */
export class Addresses {
  readonly #allowed: Allowed
  readonly #lookup: Lookup
  readonly #nowMs: () => number
  readonly #known = new Map<string, { readonly untilMs: number; readonly found: Promise<Found> }>()

  /**
   * @param allow host names, addresses, CIDRs, `loopback`, `private`: called though they point inward.
   * @throws Error that names the entry nobody understands.
   */
  constructor(allow: readonly string[], nowMs: () => number, lookup: Lookup = systemAddresses) {
    this.#allowed = readAllowed(allow)
    this.#lookup = lookup
    this.#nowMs = nowMs
  }

  /** What is wrong with the URL by itself; undefined: nothing, as far as one can see. */
  refusesText(text: string): string | undefined {
    if (text.length > webhookBounds.webhookUrlMaxChars)
      return `is longer than ${webhookBounds.webhookUrlMaxChars} characters`
    if (!URL.canParse(text)) return 'is no URL'
    const url = new URL(text)
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'is not http or https'
    if (url.username !== '' || url.password !== '') return 'carries a user or password'
    const host = hostOf(url)
    if (isIP(host) === 0 || this.admits(host)) return undefined
    return `points to ${host}, which is not a public address; an operator may allow it with PIKE_WEBHOOK_ALLOW`
  }

  /** The same, its name looked up. A name that cannot be looked up now is judged when connecting. */
  async refuses(text: string): Promise<string | undefined> {
    const wrong = this.refusesText(text)
    if (wrong !== undefined) return wrong
    const host = hostOf(new URL(text))
    if (isIP(host) !== 0 || this.#allowed.names.has(host)) return undefined
    const found = await this.#find(host)
    if ('error' in found) return undefined
    const inward = found.addresses.find(({ address }) => !this.admits(address))
    return inward === undefined
      ? undefined
      : `points to ${host}, which is not a public address; an operator may allow it with PIKE_WEBHOOK_ALLOW`
  }

  /** Whether this address may be connected to. */
  admits(address: string): boolean {
    const plain = withoutWrapping(address)
    const family = isIP(plain)
    if (family === 0) return false
    const type = family === 4 ? 'ipv4' : 'ipv6'
    if (this.#allowed.addresses.check(plain, type)) return true
    if (family === 4) return !notPublic.check(plain, 'ipv4')
    return globalUnicast.check(plain, 'ipv6') && !notPublic.check(plain, 'ipv6')
  }

  /** For `connect`: looks up, and hands on only what may be connected to. */
  readonly lookup: LookupFunction = (hostname, options, answer) => {
    const host = plainName(hostname)
    void this.#find(host).then((found) => {
      if ('error' in found) return answer(found.error, '', 0)
      const family = Number(options.family ?? 0)
      const wanted = found.addresses.filter((one) => family === 0 || one.family === family)
      const some = wanted.length > 0 ? wanted : found.addresses
      // All of them: a name that has one inward address is up to something.
      if (!this.#allowed.names.has(host) && some.some(({ address }) => !this.admits(address)))
        return answer(new NotAdmitted(host), '', 0)
      if (options.all) return answer(null, [...some])
      const [first] = some
      return answer(null, first!.address, first!.family)
    })
  }

  /** One question at a time for a name, and its answer for a moment: what was judged is connected to. */
  #find(host: string): Promise<Found> {
    const nowMs = this.#nowMs()
    const known = this.#known.get(host)
    if (known !== undefined && known.untilMs > nowMs) return known.found
    if (this.#known.size >= webhookBounds.webhookLookupsMax) this.#known.clear()
    const found = this.#lookup(host).then(
      (addresses): Found => (addresses.length > 0 ? { addresses } : { error: notFound(host) }),
      (error: NodeJS.ErrnoException): Found => ({ error }),
    )
    this.#known.set(host, { untilMs: nowMs + webhookBounds.webhookLookupKeptMs, found })
    return found
  }
}

export interface Address {
  readonly address: string
  readonly family: number
}

/** All addresses of a name. */
export type Lookup = (host: string) => Promise<readonly Address[]>

type Found = { readonly addresses: readonly Address[] } | { readonly error: NodeJS.ErrnoException }

/** Connecting was refused, by us. */
export class NotAdmitted extends Error {
  override readonly name = 'NotAdmitted'
  constructor(host: string) {
    super(`refused: ${host} is not a public address`)
  }
}

/** What is wrong with a list of whom to allow; undefined: nothing. */
export function notUnderstood(allow: readonly string[]): string | undefined {
  try {
    readAllowed(allow)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

interface Allowed {
  readonly names: ReadonlySet<string>
  readonly addresses: BlockList
}

const words: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

function readAllowed(allow: readonly string[]): Allowed {
  const names = new Set<string>()
  const addresses = new BlockList()
  for (const entry of allow) {
    const subnets = Object.hasOwn(words, entry) ? words[entry]! : [entry]
    for (const one of subnets) if (!addSubnet(addresses, one)) names.add(readName(one))
  }
  return { names, addresses }
}

const readName = (text: string): string => {
  const name = plainName(text)
  if (!/^(?=.{1,253}$)[a-z0-9_]([a-z0-9._-]*[a-z0-9_])?$/.test(name) || /^[\d.]+$/.test(name))
    throw new Error(`"${text}" is no host name, address or CIDR, and neither loopback nor private`)
  return name
}

/** @returns false for what is neither an address nor a CIDR. */
function addSubnet(list: BlockList, text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  const max = family === 4 ? 32 : 128
  if (bits !== undefined && (!/^\d{1,3}$/.test(bits) || Number(bits) > max))
    throw new Error(`"${text}" is no CIDR: it has no prefix of 0 to ${max}`)
  list.addSubnet(address, bits === undefined ? max : Number(bits), family === 4 ? 'ipv4' : 'ipv6')
  return true
}

/** Source: the IANA special-purpose address registries, and what clouds answer metadata on. */
const notPublic = new BlockList()
for (const subnet of [
  '0.0.0.0/8', // this network
  '10.0.0.0/8',
  '100.64.0.0/10', // carrier-grade NAT
  '127.0.0.0/8',
  '168.63.129.16/32', // Azure's own
  '169.254.0.0/16', // link-local, metadata
  '172.16.0.0/12',
  '192.0.0.0/24', // protocol assignments
  '192.0.2.0/24', // documentation
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16',
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, broadcast
  '2001::/23', // protocol assignments, Teredo among them
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: an IPv4 address in disguise
  '3fff::/20', // documentation
])
  addSubnet(notPublic, subnet)

/** The only part of IPv6 that is given out to the public; all else is local, mapped or reserved. */
const globalUnicast = new BlockList()
addSubnet(globalUnicast, '2000::/3')

const mapped = new BlockList()
addSubnet(mapped, '::ffff:0:0/96')
addSubnet(mapped, '64:ff9b::/96')

/** The IPv4 address inside an IPv4-mapped or NAT64 one, which is where the packets go. */
function withoutWrapping(address: string): string {
  if (isIP(address) !== 6 || address.includes('%') || !mapped.check(address, 'ipv6')) return address
  // As URLs are written, the last 32 bits are the last two groups, without dots.
  const written = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [high = '0', low = '0'] = written.split(':').slice(-2)
  const bits = (Number.parseInt(high || '0', 16) << 16) | Number.parseInt(low || '0', 16)
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.')
}

/** Without the brackets of IPv6 and the dot of a full name. */
const hostOf = (url: URL): string => plainName(url.hostname.replace(/^\[|\]$/g, ''))

const plainName = (host: string): string => host.toLowerCase().replace(/\.$/, '')

const notFound = (host: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`no address for ${host}`), { code: 'ENOTFOUND' })

/** As all programs on this host see it: the hosts file too. */
const systemAddresses: Lookup = (host) =>
  new Promise((resolve, reject) =>
    systemLookup(host, { all: true }, (error, addresses) =>
      error ? reject(error) : resolve(addresses),
    ),
  )
