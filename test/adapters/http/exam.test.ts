import { httpAdapter } from '../../../adapters/http/index.ts'
import { httpSession } from '../../../devices/index.ts'
import { levelSubject } from '../../engine/level/subject.ts'
import { adapterExam } from '../../exams/adapter.exam.ts'
import { clientSubject } from '../pike/subject.ts'
import { httpSubject } from './subject.ts'

adapterExam(httpSubject('poll', levelSubject))
adapterExam(httpSubject('stream', levelSubject))
adapterExam(
  clientSubject(
    'http, our client',
    levelSubject,
    () => httpAdapter({ host: '127.0.0.1', port: 0 }),
    { session: httpSession },
  ),
)
