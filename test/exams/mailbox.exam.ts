import { describe } from 'node:test'
import type { EngineSubject } from '../support/engine-subject.ts'
import { mailboxAppendExam } from './mailbox-append.exam.ts'
import { mailboxBoundsExam } from './mailbox-bounds.exam.ts'
import { mailboxDueExam } from './mailbox-due.exam.ts'
import { mailboxFailureExam } from './mailbox-failure.exam.ts'
import { mailboxHistoryExam } from './mailbox-history.exam.ts'
import { mailboxLateExam } from './mailbox-late.exam.ts'
import { mailboxReadExam } from './mailbox-read.exam.ts'
import { mailboxRestartExam } from './mailbox-restart.exam.ts'
import { mailboxScheduleExam } from './mailbox-schedule.exam.ts'
import { mailboxScheduleOrdersExam } from './mailbox-schedule-orders.exam.ts'
import { mailboxSettleExam } from './mailbox-settle.exam.ts'

/** What every mailbox must do: src/contract/mailbox.ts and the rules it names. */
export function mailboxExam(name: string, subject: EngineSubject): void {
  describe(`${name}: mailbox`, () => {
    describe('append', () => mailboxAppendExam(subject))
    describe('bounds', () => mailboxBoundsExam(subject))
    describe('read', () => mailboxReadExam(subject))
    describe('settle', () => mailboxSettleExam(subject))
    describe('late', () => mailboxLateExam(subject))
    describe('due', () => mailboxDueExam(subject))
    describe('history', () => mailboxHistoryExam(subject))
    describe('restart', () => mailboxRestartExam(subject))
    describe('schedule', () => {
      mailboxScheduleExam(subject)
      mailboxScheduleOrdersExam(subject, 10)
    })
    describe('failure', () => mailboxFailureExam(subject))
  })
}
