import { levelSubject } from '../../engine/level/subject.ts'
import { adapterExam } from '../../exams/adapter.exam.ts'
import { coapSubject } from './subject.ts'

adapterExam(coapSubject(levelSubject))
