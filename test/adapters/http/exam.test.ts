import { levelSubject } from '../../engine/level/subject.ts'
import { adapterExam } from '../../exams/adapter.exam.ts'
import { httpSubject } from './subject.ts'

adapterExam(httpSubject('poll', levelSubject))
adapterExam(httpSubject('stream', levelSubject))
