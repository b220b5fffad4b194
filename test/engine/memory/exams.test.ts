import { broadcastsExam } from '../../exams/broadcasts.exam.ts'
import { busExam } from '../../exams/bus.exam.ts'
import { directoryExam } from '../../exams/directory.exam.ts'
import { eventsExam } from '../../exams/events.exam.ts'
import { mailboxExam } from '../../exams/mailbox.exam.ts'
import { namesExam } from '../../exams/names.exam.ts'
import { shelfExam } from '../../exams/shelf.exam.ts'
import { memorySubject } from '../../support/engine-memory.ts'

for (const exam of [
  mailboxExam,
  eventsExam,
  namesExam,
  shelfExam,
  directoryExam,
  busExam,
  broadcastsExam,
]) {
  exam('memory', memorySubject)
}
