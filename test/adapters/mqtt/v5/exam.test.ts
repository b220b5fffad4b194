import { levelSubject } from '../../../engine/level/subject.ts'
import { adapterExam } from '../../../exams/adapter.exam.ts'
import { mqtt5Subject } from './subject.ts'

adapterExam(mqtt5Subject(levelSubject))
