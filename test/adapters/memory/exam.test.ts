import { adapterExam } from '../../exams/adapter.exam.ts'
import { memorySubject } from '../../support/engine-memory.ts'
import { memoryAdapterSubject } from './subject.ts'

adapterExam(memoryAdapterSubject(memorySubject))
