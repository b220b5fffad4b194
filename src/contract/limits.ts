/**
 * Every bound of the system: its name, its default, and what happens there.
 * `docs/limits.md` is made from the same words.
 */
export const limits = {
  /** Open commands of one channel. At the bound: `429`, or drop-oldest where chosen. */
  mailboxMaxCommands: 1_000,
  /** Payload bytes of one channel's undelivered commands. At the bound: as above. */
  mailboxMaxBytes: 1_048_576,
  /** Late proof kept in one ended command's timeline. Further proof is only in the events. */
  lateStepsMax: 4,
  /** Payload of one command or event. Above: `413`, or the protocol's own word for it. */
  payloadMaxBytes: 48 * 1024,
  /** Length of a command's or event's name, bytes of UTF-8. Above: `400`, or protocol error. */
  nameMaxBytes: 128,
  /** Commands unacknowledged on one channel's link. At the bound its pump waits. */
  windowMaxCommands: 16,
  /** Payload bytes unacknowledged on one channel's link. At the bound its pump waits. */
  windowMaxBytes: 64 * 1024,
  /** Bytes waiting in one link's socket. At the bound its pumps wait, nobody else's. */
  linkMaxBytes: 256 * 1024,
  /**
   * Payload bytes of a channel on their way to a device, unacknowledged, where it shares its
   * connection with `urgent`; one command always may. At the bound its commands wait, `urgent` does not.
   */
  besideUrgentMaxBytes: 16 * 1024,
  /** Uplinks of one link received and not yet kept. At the bound its socket is not read. */
  uplinkMaxPending: 64,
  /**
   * Uplinks of one channel that are known by a name until their device has let go of it (MQTT QoS 2).
   * At the bound the one not heard of for longest goes; what comes as a repeat and is not known is
   * marked as perhaps one, from then on.
   */
  onceMaxPending: 64,
  /** Channels on one connection. Above: `overloaded` for the further one. */
  connectionMaxChannels: 64,
  /** Time for a handshake. Above: `handshake-timeout`. */
  handshakeTimeoutMs: 5_000,
  /** Bytes before authentication. Above: `handshake-timeout`. */
  handshakeMaxBytes: 1024,
  /** One Pike frame. Above: `too-large`. */
  frameMaxBytes: 64 * 1024,
  /** Time from the first byte of an MQTT connection to its CONNACK. Above: closed. */
  mqttConnectTimeoutMs: 10_000,
  /** One CONNECT, and what may come with it before its answer. Above: closed. */
  mqttConnectMaxBytes: 8 * 1024,
  /** One MQTT packet, decided from its fixed header. Above: closed. */
  mqttPacketMaxBytes: 64 * 1024,
  /** Client id of MQTT. Above: refused, identifier rejected. */
  mqttClientIdMaxBytes: 128,
  /** One MQTT topic. Above: closed. */
  mqttTopicMaxBytes: 512,
  mqttTopicMaxLevels: 32,
  /** Filters one MQTT client is subscribed to, or names in one packet. Above: refused. */
  mqttSubscriptionsMax: 16,
  /** Topics an MQTT 5 client may give a number; it is told. Above: closed, Topic Alias invalid. */
  mqttTopicAliasesMax: 16,
  /** How long an MQTT 5 client may come back to its session. Asked for more: this; it is told. */
  mqttSessionMaxMs: 24 * 3_600_000,
  /** Sessions of MQTT 5 clients that are away. At the bound the oldest ends, and its will is said. */
  mqttSessionsMax: 10_000,
  /**
   * Connections of all device listeners; fewer where the process may not have so many descriptors.
   * Above: refused with `overloaded`.
   */
  connectionsMax: 100_000,
  /** Of those of one protocol, from one address (IPv6: the first 64 bits). Above: as above. */
  connectionsPerAddress: 20_000,
  /**
   * Connections that wait to be accepted, of each listener; the kernel's `net.core.somaxconn` bounds
   * it. Above: the kernel lets them ask again after a second, then after three and seven.
   */
  listenBacklog: 4_096,
  /** Connections of back ends from one address. Above: closed at once, unanswered. */
  apiConnectionsPerAddress: 8_192,
  /** Time to live when a command names none. */
  queueTtlMs: 7 * 24 * 3_600_000,
  nowTtlMs: 30_000,
  /** Longest time to live and reply timeout a command may ask for. Above: `400`. */
  ttlMaxMs: 30 * 24 * 3_600_000,
  replyTimeoutMs: 60_000,
  replyTimeoutMaxMs: 7 * 24 * 3_600_000,
  /** After its deadline a command that may have been sent waits this long before `in-doubt`. */
  inDoubtGraceMs: 10_000,
  /** Sessions in which the head was sent and never acknowledged; then `undeliverable`. */
  attemptsMax: 10,
  /** Keep-alive a device may ask for; outside it is moved to the nearer end. */
  keepaliveMinMs: 5_000,
  keepaliveMaxMs: 1_500_000,
  keepaliveDefaultMs: 240_000,
  /** Where learning a keep-alive begins, and the least it goes down to unless the device allows less. */
  keepaliveStartMs: 60_000,
  /** The longest keep-alive that is learned for a device that is not of class `battery` and says nothing else. */
  keepalivePoweredMaxMs: 300_000,
  /** Devices whose learned keep-alive is held in memory. The longest unseen go, and are read again. */
  heartbeatDevicesMax: 100_000,
  /** Networks one device remembers a keep-alive for. The longest unseen goes. */
  heartbeatNetworksPerDevice: 4,
  /** Networks whose devices' keep-alives are held in memory. The longest unchanged go, and are read again. */
  heartbeatNetworksMax: 10_000,
  /** An acknowledgement later than this leads to a probe; a probe this late kills the link. */
  ackOverdueMinMs: 2_000,
  ackOverdueMaxMs: 9_000,
  /** Take-overs of one channel within a minute; then both wait `conflictHoldMs`. */
  takeoversMax: 3,
  takeoverWindowMs: 60_000,
  conflictHoldMs: 60_000,
  /** How long one idempotency key is remembered. */
  idempotencyMs: 24 * 3_600_000,
  /** Longest `Prefer: wait` and long poll. Asked for more: this. */
  waitMaxMs: 60_000,
  /** Calls held by `Prefer: wait` at once; of one app half. Above: answered at once with `202`. */
  waitersMax: 10_000,
  /** Events kept, by age. Older ones are purged; a cursor behind them gets `410`. */
  eventsMaxAgeMs: 7 * 24 * 3_600_000,
  /** Recent events held in memory for live readers; further back they come from the store. */
  eventsRecentMax: 4_096,
  /** Event streams (SSE) open at once; of one app half. Above: `503`. */
  streamsMax: 1_000,
  /**
   * Wrong secrets a minute, per address and per device. Above: `rate-limited`; of a device not where
   * it has proved itself lately.
   */
  wrongSecretsPerMinute: 10,
  /** How long an address counts as one where a device has proved itself. */
  provedAddressMs: 7 * 24 * 3_600_000,
  /** Of those remembered. At the bound the oldest is forgotten. */
  provedAddressesMax: 50_000,
  /** Times a minute one device may come online. Above: `rate-limited`. */
  arrivalsPerMinute: 120,
  /** Before a device is told that it is `rate-limited`, so that whoever comes again at once waits. */
  refusalDelayMs: 1_000,
  /** One northbound body. Above: `413`. */
  bodyMaxBytes: 128 * 1024,
  /** Unsynced changes waiting for the store. Above: new commands get `503`. */
  commitMaxPending: 100_000,
  /** Apps, and keys of one app. More: `409`. */
  appsMax: 1_000,
  keysMax: 64,
  /** Aliases of one app. More: `409`. */
  aliasesMax: 1_000_000,
  /** Bindings an alias remembers. The oldest go. */
  aliasHistoryMax: 16,
  /** How long an expired alias is still remembered; then it is purged. */
  aliasKeptMs: 7 * 24 * 3_600_000,
  /** Scheduled commands (`notBefore`) of one channel, and of all; of one app half. At the bound: `429`. */
  scheduledMaxCommands: 100,
  scheduledMaxTotal: 100_000,
  /** How far ahead `notBefore` may lie. Above: `400`. */
  scheduleMaxMs: 30 * 24 * 3_600_000,
  /** Devices of one broadcast. More: `409`. */
  broadcastMaxDevices: 100_000,
  /** Broadcasts that place members at once, over all apps; of one app half. More: `429`. */
  broadcastsMaxRunning: 100,
  /** Broadcasts kept of one app. At the bound the oldest that is not running goes. */
  broadcastsMaxKept: 1_000,
  /** Commands of all running broadcasts on their way into the store. At the bound placing waits. */
  broadcastMaxPending: 256,
  /** Lines of one NDJSON call read and not yet answered. At the bound it is not read. */
  linesMaxPending: 1_024,
  /** NDJSON calls at once, of commands and of devices each; of one app half. Above: `503`. */
  lineCallsMax: 256,
  /** Webhooks of one app. More: `409`. */
  webhooksMax: 16,
  /** Requests of one webhook under way at once, each for its share of the devices. */
  webhookLanes: 64,
  /** Events of one webhook request. */
  webhookBatchMaxEvents: 64,
  webhookBatchMaxBytes: 256 * 1024,
  /** Events of one webhook held in memory. At the bound its log is read on later. */
  webhookHeldMaxBytes: 4 * 1_048_576,
  /** A receiver must answer in this time. Above: the attempt has failed. */
  webhookTimeoutMs: 15_000,
  /** Delay between attempts, doubled each time, with jitter. */
  webhookRetryMinMs: 1_000,
  webhookRetryMaxMs: 300_000,
  /** An event that failed and is older than this is set aside as a dead letter. */
  webhookDeadAfterMs: 24 * 3_600_000,
  /** Dead letters kept of one webhook. At the bound the oldest go. */
  deadLettersMax: 10_000,
  /** Event logs of all apps together. At the bound the oldest are purged before their age. */
  eventsMaxBytes: 16 * 1_073_741_824,
  /** The store. At the bound nothing new is accepted: `507`, and events of devices are not acknowledged. */
  storeMaxBytes: 64 * 1_073_741_824,
  /** Apps, and device classes, told apart in service figures. Further ones are `other`. */
  slaAppsMax: 20,
  slaClassesMax: 5,
  /** Sessions of CoAP devices. More: `5.03` with Max-Age. */
  coapSessionsMax: 100_000,
  /** How long a CoAP session is kept after the last sign of life; then its device makes a new one. */
  coapSessionKeptMs: 7 * 24 * 3_600_000,
  /** CoAP logins judged at once. More: `5.03` with Max-Age. */
  coapLoginsMax: 256,
  /** Answers to CoAP requests remembered for their repeats. At the bound for less than 247 s, the oldest go. */
  coapDedupeMax: 65_536,
  /** A CoAP request that takes longer is acknowledged first and answered by a message of its own. */
  coapPiggybackMs: 500,
  /** CoAP bodies on their way in blocks, and their bytes. More: `5.03` with Max-Age. */
  coapUploadsMax: 4_096,
  coapUploadsMaxBytes: 16 * 1_048_576,
  /** Time for the next block of a CoAP body; then it begins anew with `4.08`. */
  coapUploadTimeoutMs: 93_000,
  /** The flight recorder, about; the oldest entries go. 0: nothing is recorded. */
  recorderMaxBytes: 32 * 1_048_576,
  /** Of each payload so much is kept in it; 0: none. */
  recorderPayloadMaxBytes: 128,
  /** The event loop is late by so much (p99 of a second). Above: overload, step by step. */
  overloadLoopMs: 500,
  /** Of the heap, and of the machine's memory. Above: overload. */
  overloadMemoryPercent: 85,
  /** A commit takes so long. Above: overload. */
  overloadCommitMs: 1_000,
  /** Who was there when the gateway died, and has not come back for so long, is offline; `suspect` till then. */
  presenceMissedMs: 75_000,
  /**
   * How long a connection lasts, a tenth more or less; then it is asked to come back, so that devices
   * spread over nodes and addresses anew. Not of devices of class `battery`. 0: for ever.
   */
  connectionLifetimeMs: 24 * 3_600_000,
  /** A drain, and a stop before it closes what is left. Above: they are hung up on. */
  drainMaxMs: 5_000,
  /** Sent away in a drain at once; the next after a moment. */
  drainSliceMax: 1_000,
  /** How many sent away are asked to come back in a second, here or elsewhere. */
  comeBackPerSecond: 8_000,
  /** The server looks at every channel with a session this often for what hints missed. */
  patrolMs: 40_000,
} as const

/** Of a bound that all apps share: so many may be of one, so that it cannot keep the others out. */
export const shareOfApp = (max: number): number => Math.ceil(max / 2)

export type Limits = { readonly [name in keyof typeof limits]: number }
