/** What a check can find, by code: what it means. The codes are for programs and stay. */
export const meanings = {
  'file-damaged': 'a file of the store does not hold what was written; what lies there is lost',
  unreadable: 'a record cannot be read',
  'unknown-key': 'nobody knows what this record is',
  'wrong-place': 'a record says that it belongs under another key',
  'self-missing': 'the store does not say of itself what it must',
  'app-missing': 'something belongs to an app that has no record',
  'counters-missing': 'an app has commands, events or names, and nothing counts them',
  unaccounted: 'accepted is not ended + open (rule 11)',
  'open-count': 'an app counts more or fewer open commands than there are',
  'ended-count': 'an app, or a broadcast, counts fewer ended commands than there are outcomes',
  'names-count': 'an app counts more or fewer devices or aliases than there are',
  'log-size': 'the size of a log is misjudged: its events are purged too early or too late',
  'channel-missing': 'commands lie in a channel that has no record: nobody will find them',
  'channel-record': 'the record of a channel is not true of its open commands',
  'channel-epochs': 'a command lies in another epoch than its channel says',
  'late-deadline': 'a command will be looked at too late for its deadline',
  'open-and-ended': 'a command is open, and has an outcome too',
  'event-missing': 'a log has a hole: an event is not there',
  'event-outside': 'an event lies where its log does not reach',
  'log-epochs': 'the epochs of a log do not fit its events',
  'outcome-unreachable': 'an outcome event is there, and nothing leads from its command to it',
  'outcome-missing': 'an ended command leads to no outcome event of its own',
  'schedule-broken':
    'a scheduled command lacks a part, so that it will not run, or cannot be found',
  'tag-missing': 'a device has a tag, and is not among those that have it',
  'tag-stray': 'a tag has a device that does not have it',
  'broadcast-incomplete': 'a broadcast lacks its record or its report, or members belong to none',
  'broadcast-count': 'the report of a broadcast is not true of its members',
  'broadcast-member': 'a command and the member of its broadcast do not know each other',
} as const

export type Code = keyof typeof meanings

/** One thing that is not as it should be. */
export interface Finding {
  readonly code: Code
  /** The key, the channel, the app or the file. */
  readonly where: string
  readonly detail: string
}
