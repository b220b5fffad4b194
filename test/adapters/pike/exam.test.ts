import { levelSubject } from '../../engine/level/subject.ts'
import { adapterExam } from '../../exams/adapter.exam.ts'
import { pikeSubject } from './subject.ts'

adapterExam(pikeSubject(levelSubject))
