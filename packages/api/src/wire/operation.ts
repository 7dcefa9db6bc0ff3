import type { OperationReport, OperationUpdate } from '@vivarium/model';
import type { Operation } from '../schemas/operation.ts';
import { present } from './present.ts';
import { progressFromWire, progressToWire } from './progress.ts';

export function operationToWire(report: OperationReport): Operation {
  const { resource, state, error, progress } = report;
  const over = state === 'done' || state === 'undone' || state === 'failed';
  return present({
    id: report.id,
    action: report.action,
    state,
    instance_id: resource?.kind === 'instance' ? resource.id : undefined,
    resource,
    parent: report.parent,
    background: report.background,
    step: report.step,
    progress: progress && progressToWire(progress),
    started_at: report.startedAt,
    ended_at: report.endedAt,
    outcome: over ? state : state === 'cancelled' ? ('undone' as const) : undefined,
    error: error && { ...error },
    result: report.result,
    request_id: report.requestId,
  }) as Operation;
}

export function operationFromWire(wire: Operation): OperationReport {
  return present({
    id: wire.id,
    action: wire.action,
    state: wire.state,
    resource: wire.resource,
    parent: wire.parent,
    background: wire.background,
    step: wire.step,
    progress: wire.progress === undefined ? undefined : progressFromWire(wire.progress),
    startedAt: wire.started_at,
    endedAt: wire.ended_at,
    error: wire.error as OperationReport['error'],
    result: wire.result,
    requestId: wire.request_id,
  }) as OperationReport;
}

/** One line of what is to be seen of an operation. */
export type UpdateLine = { progress: unknown } | { step: string } | { operation: Operation };

export function operationUpdateToWire(update: OperationUpdate): UpdateLine {
  if ('progress' in update) return { progress: progressToWire(update.progress) };
  return 'operation' in update ? { operation: operationToWire(update.operation) } : update;
}

export function operationUpdateFromWire(line: UpdateLine): OperationUpdate {
  if ('progress' in line) return { progress: progressFromWire(line.progress) };
  return 'operation' in line ? { operation: operationFromWire(line.operation) } : line;
}
