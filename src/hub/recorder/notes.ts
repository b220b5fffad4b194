import type { KeptCommand, KeptEvent } from '../../contract/index.ts'
import { byPlace, channelParts } from '../../contract/index.ts'
import type { FlightRecorder } from './recorder.ts'

/** Of what became durable, what changes how a device or its commands stand. */
export function noteKept(recorder: FlightRecorder, events: readonly KeptEvent[]): void {
  if (!recorder.on) return
  // Also for what is written for these events, as acknowledgements are: it need not ask again.
  const nowMs = recorder.nowMs()
  for (const event of events) {
    // By the thousand, and their frames told.
    if (event.kind === 'event' || event.kind === 'reply') continue
    const { app, device, channel } = event
    switch (event.kind) {
      case 'command.ended': {
        const { ended } = event
        const { epoch, offset, name, status, reason } = ended
        const id = ended.notBeforeMs === undefined ? byPlace : ended.id
        const place = ended.channel
        recorder.command(place, nowMs, 'ended', id, epoch, offset, name, undefined, status, reason)
        break
      }
      case 'command.late':
        recorder.device(app, device, 'late', {
          channel,
          command: event.command,
          reason: event.reply?.status ?? 'delivered',
        })
        break
      case 'presence':
        recorder.device(app, device, event.state, { reason: event.reason, about: event.protocol })
        break
      case 'session.conflict':
        recorder.device(app, device, 'conflict', { channel })
        break
      case 'position.unknown': {
        const { epoch, offset } = event.claimed
        recorder.device(app, device, 'position-unknown', { channel, epoch, offset })
        break
      }
    }
  }
}

/** A command has its place, or waits for the time at which it gets one. */
export function noteAccepted(
  recorder: FlightRecorder,
  type: 'accepted' | 'scheduled' | 'placed',
  command: Omit<KeptCommand, 'epoch' | 'offset'> &
    Partial<Pick<KeptCommand, 'epoch' | 'offset' | 'payload'>>,
): void {
  if (!recorder.on) return
  const { epoch = 0, offset = 0, name, payload, delivery, askedBy, traceparent } = command
  const nowMs = recorder.nowMs()
  const id = command.notBeforeMs === undefined ? byPlace : command.id
  const place = command.channel
  recorder.command(place, nowMs, type, id, epoch, offset, name, payload, delivery, askedBy)
  if (traceparent === undefined) return
  const { app, device, channel } = channelParts(place)
  const seen = { channel, command: id, epoch, offset, about: traceparent }
  recorder.device(app, device, 'traced', seen)
}
