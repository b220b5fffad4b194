import type { KeptCommand, KeptEvent } from '../../contract/index.ts'
import { byPlace, channelParts } from '../../contract/index.ts'
import type { FlightRecorder } from './recorder.ts'

/** Of what became durable, what changes how a device or its commands stand. */
export function noteKept(recorder: FlightRecorder, events: readonly KeptEvent[]): void {
  if (!recorder.on) return
  for (const event of events) {
    const { app, device, channel } = event
    switch (event.kind) {
      case 'command.ended': {
        const { id, notBeforeMs, name, epoch, offset, status, reason } = event.ended
        const command = notBeforeMs === undefined ? byPlace : id
        const seen = { channel, command, epoch, offset, name, reason: status, about: reason }
        recorder.device(app, device, 'ended', seen)
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
      case 'event': // their frames tell
      case 'reply':
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
  const { app, device, channel } = channelParts(command.channel)
  const { epoch, offset, name, payload, delivery, askedBy } = command
  const id = command.notBeforeMs === undefined ? byPlace : command.id
  const about = askedBy
  const seen = { channel, command: id, epoch, offset, name, payload, reason: delivery, about }
  recorder.device(app, device, type, seen)
  if (command.traceparent === undefined) return
  const { traceparent } = command
  recorder.device(app, device, 'traced', {
    channel,
    command: id,
    epoch,
    offset,
    about: traceparent,
  })
}
